import Scorefield

/// The questions the demonstration asks of a trained network.
struct LearnedDemo {
  let digits: DigitSet
  let model: TraceMatchedDenoiser
  let counter = EvaluationCounter()
  let seed: UInt64

  private func count(_ evaluations: Int) { for _ in 0..<evaluations { counter.increment() } }

  // MARK: Which of these is a digit?

  /// One kind of image.
  struct Kind: Encodable {
    let name: String
    let count: Int
    let bitsPerDim, bitsPerDimError: Double
  }

  struct Ranking: Encodable {
    let kinds: [Kind]
    /// How often a held-out digit is likelier than one of another kind.
    let heldOutOverDamaged, heldOutOverGenerated, generatedOverDamaged: Double
    /// How often a digit is likelier than itself with the patch destroyed.
    let overItselfDamaged: Double
    /// The ends of the likelihood, and its steps.
    let from, to: Double
    let steps: Int
    /// Of the dequantisation, for each image.
    let draws: Int
    let evaluations: Int
    let seconds: Double
    /// All images, the likeliest first.
    let ordered: [Ordered]
  }

  struct Ordered: Encodable {
    let kind: String
    let bitsPerDim: Double
  }

  static let kindSize = 32
  /// Draws of the dequantisation for each image.
  static let draws = 2

  /// Held-out digits, the same with a patch destroyed, and digits the network makes, by their bits per dimension.
  func ranking() -> (figures: Ranking, kinds: Tensor, ordered: Tensor) {
    let clock = ContinuousClock()
    let start = clock.now
    let progress = Progress("ranking", total: 3)
    progress.show(0)
    var generator = Generator(seed: seed + 50)
    let count = Self.kindSize
    let whole = digits.heldOutLevels[..<count].to(.float64)
    let patch = Tensor.randomIntegers([count, 4, 4], in: 0..<DigitSet.scale.count, using: &generator).to(.float64)
    let mask = Tensor.ones([count, 4, 4]).padded(2, 2, 2, 2)
    let damaged = whole * (1 - mask) + patch.padded(2, 2, 2, 2)
    let made = DigitModel.samples(Tensor.normal([count, 8, 8], type: .float32, using: &generator), under: model)
    progress.show(1)
    let all = Tensor.concatenated([whole, damaged, made.levels.to(.float64)])
    let found = DigitModel.likelihood(of: all, under: model, draws: Self.draws, seed: seed + 51)
    self.count(made.evaluations + found.evaluations)
    progress.show(3)

    let names = ["held out", "damaged", "generated"]
    let bits = found.bitsPerDim.doubles
    let kinds = names.indices.map { Array(bits[($0 * count)..<(($0 + 1) * count)]) }
    let order = bits.indices.sorted { (bits[$0], $0) < (bits[$1], $1) }
    let figures = Ranking(
      kinds: zip(names, kinds).map {
        Kind(
          name: $0, count: count, bitsPerDim: Statistics.mean($1), bitsPerDimError: Statistics.standardError($1))
      },
      heldOutOverDamaged: Statistics.wins(kinds[0], over: kinds[1]),
      heldOutOverGenerated: Statistics.wins(kinds[0], over: kinds[2]),
      generatedOverDamaged: Statistics.wins(kinds[2], over: kinds[1]),
      overItselfDamaged: Double(zip(kinds[0], kinds[1]).count { $0 < $1 }) / Double(count),
      from: DigitModel.likelihoodStart, to: DigitModel.likelihoodEnd, steps: DigitModel.likelihoodSteps,
      draws: Self.draws, evaluations: found.evaluations,
      seconds: (clock.now - start).seconds,
      ordered: order.map { Ordered(kind: names[$0 / count], bitsPerDim: bits[$0]) })
    let images = DigitSet.scale.scaled(all)
    return (figures, images, images.selecting(Tensor(order)))
  }

  // MARK: How good is each way to the trace?

  /// What one estimator gets wrong, and what it costs.
  struct Estimator: Encodable {
    let name: String
    /// `Σ|error|/Σ|truth|` in percent against the exact Fisher of the known digits, at these noised, one per sigma.
    let traceErrors: [Double]
    /// The same against the full VJP of the network, at held-out digits noised.
    let traceErrorsToVjp: [Double]
    /// Mean of |error| of the log-likelihood of held-out digits, against the same flow with the full VJP.
    let nats, bitsPerDim: Double
    /// From where the exact field of the data knows held-out digits: mean of |error| against its own density.
    let natsToExact, bitsPerDimToExact: Double
    /// Of the denoiser with its trace, per image.
    let milliseconds: Double
  }

  struct Estimators: Encodable {
    let sigmas: [Double]
    let points, likelihoods: Int
    let exactFrom: Double
    /// Of the likelihoods, which all follow the same flow, from the data and from where the exact field knows them.
    let steps, exactSteps: Int
    /// Mean |tr F| of the exact field, one per sigma.
    let traces: [Double]
    let rows: [Estimator]
    let seconds: Double
  }

  private static let sigmas = [0.1, 0.25, 0.5, 1, 2, 4]
  private static let exactFrom = 0.5
  private static let (steps, exactSteps) = (8, 6)

  private func estimators() -> [(name: String, model: any TracedDenoiser)] {
    let denoiser = model.denoiser
    let products = VJPFisher(denoiser)
    let retrieval = RetrievalFisher(digits.known(.float64), nearest: 128, on: .edm)
    return [
      ("trace head", model),
      ("full VJP", WithTrace(denoiser, FullTrace(products))),
      ("Hutchinson, 1 probe", WithTrace(denoiser, Hutchinson(products, probes: 1, seed: seed + 60))),
      ("Hutchinson, 8 probes", WithTrace(denoiser, Hutchinson(products, probes: 8, seed: seed + 60))),
      ("Hutch++, 9 products", WithTrace(denoiser, HutchPlusPlus(products, probes: 9, seed: seed + 60, on: .edm))),
      ("finite difference", WithTrace(denoiser, FullTrace(FiniteDifferenceFisher(denoiser)))),
      ("hybrid", WithTrace(denoiser, HybridFisher(model, or: retrieval))),
      ("null", WithTrace(denoiser, NullFisher(on: .edm))),
    ]
  }

  func estimate(points: Int, likelihoods: Int) -> Estimators {
    let clock = ContinuousClock()
    let start = clock.now
    let ways = estimators()
    let progress = Progress("estimators", total: ways.count * (Self.sigmas.count + 10))
    var generator = Generator(seed: seed + 70)
    let field = EmpiricalDenoiser(data: digits.known(.float64), on: .edm)

    // Points of q, and the same noise on held-out digits.
    struct Place {
      let sigma: Double
      let known, heldOut: Tensor
      let truth: [Double]
    }
    let places = Self.sigmas.map { sigma in
      let rows = Tensor.randomIntegers([points], in: 0..<digits.knownLevels.batch, using: &generator)
      let noise = sigma * Tensor.normal([points, 8, 8], using: &generator)
      let known = digits.known(.float64).selecting(rows) + noise
      let heldOut = digits.heldOut(.float64)[..<points] + noise
      return Place(
        sigma: sigma, known: known.to(.float32), heldOut: heldOut.to(.float32),
        truth: field.posterior(known, at: sigma).fisherTrace.doubles)
    }
    let noised =
      digits.heldOut(.float64)[..<likelihoods] + Self.exactFrom * Tensor.normal([likelihoods, 8, 8], using: &generator)
    let exact = field.posterior(noised, at: Self.exactFrom).logDensity.doubles

    struct Answers {
      var known, heldOut: [[Double]]
      var near, far: [Double]
      var milliseconds: Double
    }
    let answers = ways.enumerated().map { index, way -> Answers in
      func traces(_ x: Tensor, _ sigma: Double) -> [Double] {
        way.model.denoiseWithTraces(x, at: sigma).traces.to(.float64).mean(0).doubles
      }
      let (known, heldOut) = (
        places.map { traces($0.known, $0.sigma) }, places.map { traces($0.heldOut, $0.sigma) }
      )
      count(2 * places.count)
      progress.show(index * (Self.sigmas.count + 10) + Self.sigmas.count, note: way.name)
      let near = DigitModel.likelihood(
        of: digits.heldOutLevels[..<likelihoods], under: way.model, steps: Self.steps, seed: seed + 71)
      let far = logLikelihood(
        of: noised.to(.float32), under: way.model, from: Self.exactFrom, to: DigitModel.likelihoodEnd,
        solver: .rungeKutta(.rk4, steps: Self.exactSteps))
      count(near.evaluations + far.evaluations)
      // The fastest of a few is what it takes.
      let times = (0..<3).map { _ in
        let begin = clock.now
        _ = traces(places[3].known, places[3].sigma)
        return 1000 * (clock.now - begin).seconds / Double(points)
      }
      progress.show((index + 1) * (Self.sigmas.count + 10), note: way.name)
      return Answers(
        known: known, heldOut: heldOut, near: near.logLikelihood.doubles, far: far.logLikelihood.doubles,
        milliseconds: times.min()!)
    }
    progress.finish()

    func share(_ found: [Double], _ truth: [Double]) -> Double {
      100 * zip(found, truth).reduce(0) { $0 + abs($1.0 - $1.1) } / truth.reduce(0) { $0 + abs($1) }
    }
    func distance(_ found: [Double], _ truth: [Double]) -> Double {
      Statistics.mean(zip(found, truth).map { abs($0 - $1) })
    }
    let reference = answers[1]
    let bits = 1 / (64 * 0.6931471805599453)
    return Estimators(
      sigmas: Self.sigmas, points: points, likelihoods: likelihoods, exactFrom: Self.exactFrom,
      steps: Self.steps, exactSteps: Self.exactSteps, traces: places.map { Statistics.mean($0.truth.map(abs)) },
      rows: zip(ways, answers).map { way, answer in
        let (near, far) = (distance(answer.near, reference.near), distance(answer.far, exact))
        return Estimator(
          name: way.name, traceErrors: zip(answer.known, places).map { share($0, $1.truth) },
          traceErrorsToVjp: zip(answer.heldOut, reference.heldOut).map(share), nats: near, bitsPerDim: near * bits,
          natsToExact: far, bitsPerDimToExact: far * bits, milliseconds: answer.milliseconds)
      },
      seconds: (clock.now - start).seconds)
  }
}
