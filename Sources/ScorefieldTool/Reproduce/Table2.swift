import RealModule
import Scorefield

/// Table 2 of "Efficiently Access Diffusion Fisher": how well the trace is had on a chessboard.
///
/// The exact Fisher of 5,000 points is the truth. A plain noise network gives the paper's two rows; then come the better
/// forms, and the network that is trained for the trace.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, table 2 and section 6.1.
struct Table2 {
  /// How much is spent.
  struct Setup: Encodable {
    let data = "chessboard on [-4,4]^2"
    let points: Int
    let schedule = "vp:beta-min=0.1,beta-max=20"
    let times: [Double]
    let smallestTime = Table2.smallestTime
    let samples: Int
    let seeds: [UInt64]
    /// Of the plain networks and of the trace network.
    let plainSteps, steps: Int
    let batch: Int
    let poolSize: Int
    let nearest: Int
    let hybridTolerance = 1e-3
    /// Of the likelihoods: samples, the noise-to-signal ratio they are taken at, and the steps of RK4 in its logarithm.
    let likelihoodSamples: Int
    let likelihoodFrom = Table2.likelihoodRatio
    let likelihoodSteps = Table2.likelihoodSteps
    let isQuick: Bool
  }

  /// One method at one time.
  struct Row: Encodable {
    let method: String
    let time: Double
    /// `Σ|error|/Σ|truth|`, the median and the mean of `|error/truth|`, in percent: medians over the seeds.
    let l1, median, mean: Double
    /// What the paper prints, in percent.
    let paper: Double?
    /// The smallest and the largest L1 over the seeds.
    let spread: [Double]
    /// The share of points that the nearest data answered, for the hybrid.
    let exactShare: Double?
    /// What proposition 7 bounds the L1 error by, and the largest error against its bound, for the printed form.
    let bound, largestErrorToBound: Double?
  }

  /// What the likelihood of one method is worth.
  struct LikelihoodRow: Encodable {
    let method: String
    /// Mean absolute error of `log q` against the exact field, medians over the seeds.
    let nats, bitsPerDim: Double
    /// The same against the full VJP of the same network; nil where that is the method, or there is no network.
    let natsToOwnVjp, bitsPerDimToOwnVjp: Double?
    let spread: [Double]
  }

  static let times = [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]
  /// What "0.0" stands for: there the Fisher is singular.
  static let smallestTime = 1e-3
  static let likelihoodRatio = 0.045
  static let likelihoodSteps = 60
  static let paper: [String: [Double]] = [
    "vjp of a plain noise network": [6.68, 5.79, 10.46, 20.13, 51.14, 70.95],
    "DF-TM as printed": [3.41, 4.56, 4.13, 4.28, 5.33, 5.81],
  ]

  let setup: Setup
  let counter = EvaluationCounter()

  init(quick: Bool, seed: UInt64) {
    setup = Setup(
      points: 5000, times: Self.times, samples: quick ? 2000 : 4000, seeds: (0..<3).map { seed + $0 },
      plainSteps: quick ? 400 : 4000, steps: quick ? 800 : 4000, batch: 1024, poolSize: quick ? 150_000 : 1_000_000,
      nearest: 2560, likelihoodSamples: quick ? 32 : 256,
      isQuick: quick)
  }

  // MARK: One seed

  /// What a method got wrong at one time.
  struct Errors {
    var l1, median, mean: Double
    var exactShare, bound, largestErrorToBound: Double?
  }

  /// The names of the methods, in the order of the table.
  static let methods = [
    "null d/σ²", "vjp of a plain noise network", "DF-TM as printed", "DF-TM centred", "residual", "vjp of ours",
    "trace head", "hybrid",
  ]

  private struct Trained {
    let plain: NetworkDenoiser
    let printed, centred, residual: TraceMatching
    let ours: TraceMatchedDenoiser
  }

  /// The table, one line per method and time, and the likelihoods, one line per method.
  func rows() -> (traces: [Row], likelihoods: [LikelihoodRow]) {
    let progress = Progress("table2", total: setup.seeds.count * (4 * setup.plainSteps + setup.steps))
    var done = 0
    func advanced(_ count: Int, _ note: String) {
      done += count
      progress.show(done, note: note)
    }
    // [seed][method][time]
    var errors: [[[Errors]]] = []
    var likelihoods: [[LikelihoodError]] = []
    for seed in setup.seeds {
      var generator = Generator(seed: seed)
      let data = Chessboard.points(setup.points, using: &generator)
      let trained = train(on: data, using: &generator) { advanced($0, "seed \(seed), \($1)") }
      errors.append(evaluate(trained, on: data, using: &generator))
      likelihoods.append(likelihoodErrors(trained, on: data, seed: seed, using: &generator))
    }
    progress.finish()
    func middle(_ values: [Double]) -> Double {
      let sorted = values.sorted()
      return sorted.count % 2 == 1
        ? sorted[sorted.count / 2] : 0.5 * (sorted[sorted.count / 2 - 1] + sorted[sorted.count / 2])
    }
    let traces = Self.methods.enumerated().flatMap { place, method in
      Self.times.indices.map { index in
        let found = errors.map { $0[place][index] }
        return Row(
          method: method, time: Self.times[index], l1: middle(found.map(\.l1)), median: middle(found.map(\.median)),
          mean: middle(found.map(\.mean)), paper: Self.paper[method]?[index],
          spread: [found.map(\.l1).min()!, found.map(\.l1).max()!],
          exactShare: found[0].exactShare.map { _ in middle(found.map { $0.exactShare! }) },
          bound: found[0].bound.map { _ in middle(found.map { $0.bound! }) },
          largestErrorToBound: found[0].largestErrorToBound.map { _ in found.map { $0.largestErrorToBound! }.max()! })
      }
    }
    let perBit = 1 / (2 * Double.log(2))
    let table = likelihoods[0].indices.map { place in
      let found = likelihoods.map { $0[place] }
      let own = found[0].toOwn.map { _ in middle(found.map { $0.toOwn! }) }
      let nats = middle(found.map(\.toExact))
      return LikelihoodRow(
        method: found[0].method, nats: nats, bitsPerDim: nats * perBit, natsToOwnVjp: own,
        bitsPerDimToOwnVjp: own.map { $0 * perBit }, spread: [found.map(\.toExact).min()!, found.map(\.toExact).max()!])
    }
    return (traces, table)
  }

  let schedule = VariancePreserving()

  func time(_ t: Double) -> Double { max(t, Self.smallestTime) }

  /// The plain networks on single draws, as the paper trains them, and ours.
  private func train(
    on data: Tensor, using generator: inout Generator, _ advanced: (Int, String) -> Void
  ) -> Trained {
    let single = data.to(.float32)
    let sigmaData = single.squared().mean().item.squareRoot()
    let plainTimes = UniformTimes(Self.smallestTime...1)
    func mlp() -> MLP { MLP(.init(dimension: 2, width: 128, depth: 4), using: &generator) }
    let plainSettings = TrainingSettings(
      learningRate: .cosine(peak: 1e-3, steps: setup.plainSteps + 1, warmup: setup.plainSteps / 10))

    let plain = run(
      NetworkDenoiser(mlp(), Preconditioning(.noise, sigmaData: sigmaData), on: schedule),
      DenoisingObjective(times: plainTimes), plainSettings, setup.plainSteps, setup.batch, single, &generator,
      "plain noise network", advanced)
    func matched(_ form: any TraceForm, _ name: String) -> TraceMatching {
      let network = TwoHeaded(mlp(), scalarWidth: 128, using: &generator)
      return run(
        TraceMatching(of: plain, network: network, Preconditioning(.noise, sigmaData: sigmaData), form: form),
        TraceObjective(times: plainTimes), plainSettings, setup.plainSteps, setup.batch, single, &generator, name,
        advanced)
    }
    let printed = matched(SecondMomentForm(), "trace matching as printed")
    let centred = matched(NoiseMomentForm(), "trace matching, centred")
    let residual = matched(PredictionErrorForm(), "residual")
    return Trained(
      plain: plain, printed: printed, centred: centred, residual: residual,
      ours: ours(single, sigmaData, &generator, advanced))
  }

  /// The recipe: every scale down to that of the noise, posteriors as targets, a loss relative to what is hard.
  private func ours(
    _ data: Tensor, _ sigmaData: Double, _ generator: inout Generator, _ advanced: (Int, String) -> Void
  ) -> TraceMatchedDenoiser {
    let network = MultiscaleMLP(
      .init(dimension: 2, sigmaData: sigmaData), using: &generator)
    let model = TraceMatchedDenoiser(
      TwoHeaded(network, scalarWidth: 256, using: &generator), .edm(sigmaData: sigmaData),
      form: PosteriorVarianceForm(sigmaData: sigmaData), on: schedule)
    let objective = PooledObjective(setup.poolSize, of: data, times: recipeTimes, for: model, using: &generator)
    let settings = TrainingSettings(
      learningRate: .cosine(peak: 4e-3, steps: setup.steps + 1, warmup: min(200, setup.steps / 5)), beta2: 0.99)
    return run(model, objective, settings, setup.steps, setup.batch, data, &generator, "trace head", advanced)
  }

  /// Times of the recipe: even, even in the logarithm of the noise, and once more where points are told apart.
  var recipeTimes: any TimeDistribution {
    let smallest = schedule.kernel(at: Self.smallestTime).noiseToSignal
    return MixedTimes(
      0.25, of: UniformTimes(Self.smallestTime...1),
      else: MixedTimes(
        2.0 / 3, of: LogUniformNoise(on: schedule, ratios: smallest...3),
        else: LogUniformNoise(on: schedule, ratios: smallest...(2 * smallest))))
  }

  func run<O: Objective>(
    _ model: O.Model, _ objective: O, _ settings: TrainingSettings, _ steps: Int, _ batch: Int, _ data: Tensor,
    _ generator: inout Generator, _ name: String, _ advanced: (Int, String) -> Void
  ) -> O.Model {
    var run = TrainingRun(
      model, objective, settings: settings,
      averaging: ExponentialMovingAverage(of: model.parameters, decay: 0.999, warmsUp: true),
      generator: Generator(seed: generator.next() >> 32))
    for step in 0..<steps {
      let rows = data.selecting(Tensor.randomIntegers([batch], in: 0..<data.batch, using: &generator))
      _ = run.advance(on: TrainingBatch(rows))
      counter.increment()
      if step % 25 == 24 { advanced(25, name) }
    }
    return run.averagedModel
  }

  // MARK: Measuring

  private func evaluate(_ trained: Trained, on data: Tensor, using generator: inout Generator) -> [[Errors]] {
    let field = EmpiricalDenoiser(data: data, on: schedule)
    let retrieval = RetrievalFisher(data, nearest: setup.nearest, on: schedule)
    let hybrid = HybridFisher(trained.ours, or: retrieval, tolerance: setup.hybridTolerance)
    var table = [[Errors]](repeating: [], count: Self.methods.count)
    for t in Self.times.map(time) {
      let kernel = schedule.kernel(at: t)
      let clean = data.selecting(Tensor.randomIntegers([setup.samples], in: 0..<data.batch, using: &generator))
      let x = kernel.alpha * clean + kernel.sigma * Tensor.normal(clean.shape, using: &generator)
      let posterior = field.posterior(x, at: t)
      let truth = posterior.fisherTrace
      let mixed = hybrid.fisher(at: x, time: t)
      let answers: [Tensor] = [
        NullFisher(on: schedule).fisher(at: x, time: t).trace(),
        FullTrace(VJPFisher(trained.plain)).fisher(at: x, time: t).trace(),
        trained.printed.fisher(at: x, time: t).trace(), trained.centred.fisher(at: x, time: t).trace(),
        trained.residual.fisher(at: x, time: t).trace(),
        FullTrace(VJPFisher(trained.ours)).fisher(at: x, time: t).trace(), trained.ours.fisher(at: x, time: t).trace(),
        mixed.trace(),
      ]
      counter.increment()
      for (place, answer) in answers.enumerated() {
        var errors = errors(of: answer, truth)
        if Self.methods[place] == "hybrid" { errors.exactShare = mixed.exactShare }
        if Self.methods[place] == "DF-TM as printed" {
          let bound = bound(of: trained.printed, x, posterior, kernel)
          errors.bound = 100 * bound.sum().item / truth.abs().sum().item
          errors.largestErrorToBound = ((answer - truth).abs() / bound).max().item
        }
        table[place].append(errors)
      }
    }
    return table
  }

  func errors(of answer: Tensor, _ truth: Tensor) -> Errors {
    let error = (answer - truth).abs()
    let relative = error / truth.abs()
    return Errors(
      l1: 100 * error.sum().item / truth.abs().sum().item, median: 100 * relative.quantile(0.5).item,
      mean: 100 * relative.mean().item)
  }

  /// Proposition 7, with what the two networks got wrong.
  private func bound(
    of model: TraceMatching, _ x: Tensor, _ posterior: PosteriorMoments, _ kernel: PerturbationKernel
  ) -> Tensor {
    let (data, traces) = model.denoiseWithTraces(x, at: kernel.time)
    let ratio = kernel.alpha / (kernel.sigma * kernel.sigma)
    // The moment the network gave, from the trace it made of it.
    let moment = (2 / (kernel.sigma * kernel.sigma) - traces[0]) / (ratio * ratio) + data.squared().sum(-1)
    let momentError = (moment - posterior.covarianceTrace - posterior.mean.squared().sum(-1)).abs()
    let meanError = (data - posterior.mean).norm(-1)
    return kernel.fisherTraceErrorBound(secondMoment: momentError, mean: meanError, size: posterior.mean.norm(-1))
  }

  // MARK: Likelihoods

  private struct LikelihoodError {
    let method: String
    let toExact: Double
    let toOwn: Double?
  }

  /// How far the likelihoods of each method are from the exact ones, and from those of the full VJP of the same network.
  private func likelihoodErrors(
    _ trained: Trained, on data: Tensor, seed: UInt64, using generator: inout Generator
  ) -> [LikelihoodError] {
    let field = EmpiricalDenoiser(data: data, on: schedule)
    let from = schedule.time(atNoiseToSignal: Self.likelihoodRatio)
    let kernel = schedule.kernel(at: from)
    let clean = data.selecting(Tensor.randomIntegers([setup.likelihoodSamples], in: 0..<data.batch, using: &generator))
    let x = kernel.alpha * clean + kernel.sigma * Tensor.normal(clean.shape, using: &generator)
    let truth = field.posterior(x, at: from).logDensity
    func found(_ model: some TracedDenoiser) -> Tensor {
      let answer = logLikelihood(
        of: x, under: model, from: from, to: 1, prior: .exact(field),
        solver: .rungeKutta(.rk4, steps: Self.likelihoodSteps))
      counter.increment()
      return answer.logLikelihood
    }
    func mean(_ a: Tensor, _ b: Tensor) -> Double { (a - b).abs().mean().item }
    func rows(
      _ name: String, _ denoiser: any Denoiser, _ others: [(String, any TracedDenoiser)]
    ) -> [LikelihoodError] {
      let own = found(WithTrace(denoiser, FullTrace(VJPFisher(denoiser))))
      let single = WithTrace(denoiser, Hutchinson(VJPFisher(denoiser), probes: 1, seed: seed))
      let all: [(String, any TracedDenoiser)] = [("\(name), Hutchinson with one probe", single)] + others
      return [LikelihoodError(method: "\(name), full VJP", toExact: mean(own, truth), toOwn: nil)]
        + all.map { method, model in
          let answer = found(model)
          return LikelihoodError(method: method, toExact: mean(answer, truth), toOwn: mean(answer, own))
        }
    }
    let ours = trained.ours
    let hybrid = HybridFisher(
      ours, or: RetrievalFisher(data, nearest: setup.nearest, on: schedule), tolerance: setup.hybridTolerance)
    return [LikelihoodError(method: "exact field", toExact: mean(found(ExactFisher(field)), truth), toOwn: nil)]
      + rows(
        "plain noise network", trained.plain,
        [
          ("plain noise network, DF-TM as printed", trained.printed),
          ("plain noise network, DF-TM centred", trained.centred), ("plain noise network, residual", trained.residual),
        ])
      + rows(
        "trace network", ours,
        [("trace network, trace head", ours), ("trace network, hybrid", WithTrace(ours, hybrid))])
  }
}
