import Scorefield

/// The questions the demonstration asks of the exact field of the digits.
struct DigitsDemo {
  /// Images in [−1, 1]: those the field is made of, and those it has never seen.
  let known, heldOut: Tensor
  let counter = EvaluationCounter()
  private let field: EmpiricalDenoiser
  private let seed: UInt64

  init(_ digits: DigitSet, type: ElementType, seed: UInt64) {
    (known, heldOut, self.seed) = (digits.known(type), digits.heldOut(type), seed)
    field = EmpiricalDenoiser(data: known, on: .edm)
  }

  // MARK: One digit through all the noise

  /// What the field knows of noised digits at one noise level; means over the digits.
  struct NoiseLevel: Encodable {
    let sigma, logDensity, scoreNorm, trace, productNorm, milliseconds: Double
  }

  /// The levels' figures, and one digit noised at each with what the field sees behind it.
  func noiseLevels() -> (figures: [NoiseLevel], noised: Tensor, seen: Tensor) {
    var generator = Generator(seed: seed + 1)
    let clean = heldOut[..<32]
    var figures: [NoiseLevel] = []
    var noised: [Tensor] = []
    var seen: [Tensor] = []
    let progress = Progress("field", total: 6)
    for (index, sigma) in [0.25, 0.5, 1, 2, 4, 8].enumerated() {
      let x = clean + sigma * Tensor.normal(clean.shape, type: clean.elementType, using: &generator)
      // The direction back to the digit that was noised.
      let back = clean - x
      let v = back / back.flattened.norm(-1).reshaped([-1, 1, 1])
      let clock = ContinuousClock()
      let start = clock.now
      counter.increment()
      let posterior = field.posterior(x, at: sigma, along: v)
      let trace = posterior.fisherTrace
      figures.append(
        NoiseLevel(
          sigma: sigma, logDensity: posterior.logDensity.mean().item,
          scoreNorm: posterior.score.flattened.norm(-1).mean().item, trace: trace.mean().item,
          productNorm: posterior.fisherProduct(with: v).flattened.norm(-1).mean().item,
          milliseconds: (clock.now - start).seconds * 1000))
      noised.append(x[0] / (1 + sigma))
      seen.append(posterior.mean[0])
      progress.show(index + 1)
    }
    return (figures, .stacked(noised), .stacked(seen))
  }

  // MARK: Which of these is a digit?

  /// Held-out digits, the same with a patch destroyed, and noise, ranked by their likelihood at one noise level.
  struct Ranking: Encodable {
    let sigma: Double
    /// Mean bits per dimension of each kind.
    let heldOut, damaged, noise: Double
    /// How often a held-out digit is likelier than one of another kind.
    let overDamaged, overNoise: Double
    /// How far the flow's answers are from the field's own density, at most, in nats.
    let largestError: Double
    let evaluations: Int
    let seconds: Double
  }

  private static let kindSize = 24

  /// The rankings, and at the middle one all images in their order, likeliest first.
  func rankings() -> (figures: [Ranking], ordered: Tensor, bits: [Double]) {
    var generator = Generator(seed: seed + 2)
    let count = Self.kindSize
    let whole = heldOut[32..<(32 + count)]
    let patch = Tensor.normal([count, 4, 4], type: whole.elementType, using: &generator).clamped(-1, 1)
    let hole = patch.padded(2, 2, 2, 2)
    let mask = Tensor.ones([count, 4, 4], type: whole.elementType).padded(2, 2, 2, 2)
    let damaged = whole * (1 - mask) + hole
    let noise = 2 * Tensor.uniform(whole.shape, type: whole.elementType, using: &generator) - 1
    let all = Tensor.concatenated([whole, damaged, noise])

    var figures: [Ranking] = []
    var ordered = all
    var orderedBits: [Double] = []
    let progress = Progress("likelihood", total: 3)
    for (index, sigma) in [0.5, 1, 2].enumerated() {
      let clock = ContinuousClock()
      let start = clock.now
      let found = logLikelihood(
        of: all, under: CountedDenoiser(field, counter: counter), trace: ExactFisher(field), from: sigma, to: 80,
        prior: .exact(field), solver: .dopri5(rtol: 1e-4, atol: 1e-4))
      let truth = field.posterior(all, at: sigma).logDensity
      let bits = bitsPerDim(found.logLikelihood, dimension: 64, levels: GreyLevels(17)).doubles
      let kinds = (0..<3).map { Array(bits[($0 * count)..<(($0 + 1) * count)]) }
      figures.append(
        Ranking(
          sigma: sigma, heldOut: Statistics.mean(kinds[0]), damaged: Statistics.mean(kinds[1]),
          noise: Statistics.mean(kinds[2]), overDamaged: Statistics.wins(kinds[0], over: kinds[1]),
          overNoise: Statistics.wins(kinds[0], over: kinds[2]),
          largestError: (found.logLikelihood - truth.to(.float64)).abs().max().item, evaluations: found.evaluations,
          seconds: (clock.now - start).seconds))
      if index == 1 {
        let order = bits.indices.sorted { bits[$0] < bits[$1] }
        ordered = all.selecting(Tensor(order))
        orderedBits = order.map { bits[$0] }
      }
      progress.show(index + 1)
    }
    return (figures, ordered, orderedBits)
  }

  // MARK: Where the field is unsure

  /// The Fisher's eigenpairs farthest from zero at a noised digit.
  struct Bend: Encodable {
    let eigenvalue, residual: Double
  }

  func eigenvectors() -> (sigma: Double, figures: [Bend], vectors: Tensor, noised: Tensor, seen: Tensor) {
    var generator = Generator(seed: seed + 3)
    let sigma = 1.0
    let x =
      heldOut[..<1] + sigma
      * Tensor.normal([1] + heldOut.shape.dropFirst(), type: heldOut.elementType, using: &generator)
    let fisher = ExactFisher(field).fisher(at: x, time: sigma)
    let pairs = fisher.topEigenpairs(8, like: x, order: .smallestAlgebraic)
    counter.increment()
    let figures = zip(pairs.values[0].doubles, pairs.residuals[0].doubles).map { Bend(eigenvalue: $0, residual: $1) }
    return (sigma, figures, pairs.vectors[0], x / (1 + sigma), field.denoise(x, at: sigma))
  }
}
