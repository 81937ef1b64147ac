import RealModule
import ScorefieldArrays
import ScorefieldPaths

/// The noise levels a diffusers scheduler knows: those of the betas of its file, in its own single precision.
///
///     ᾱ(n) = ∏_{i ≤ n} (1 − βᵢ),   σ(n) = √((1 − ᾱ)/ᾱ)
///
/// Rounding `1 − β` moves the smallest level by a few parts in ten thousand, which samples show: so it is rounded here too.
struct NoiseTable: Sendable {
  enum Shape: String, Sendable {
    case linear
    case scaledLinear = "scaled_linear"
    case cosine = "squaredcos_cap_v2"
    case sigmoid
    case exponential = "exp"
  }

  /// `βᵢ`.
  let variances: [Double]
  /// `ᾱ`.
  let kept: [Double]
  /// `σ`.
  let sigmas: [Double]
  /// `log σ`.
  let logSigmas: [Double]
  /// Whether a trace of signal was put in place of none at the last step.
  private let hasTrace: Bool
  var count: Int { kept.count }

  /// The table of a file.
  ///
  /// - Parameters:
  ///   - file: The file.
  ///   - first: `beta_start` where it is not said.
  ///   - last: `beta_end` where it is not said.
  ///   - shapes: The shapes the class offers.
  ///   - rescalable: Whether it knows `rescale_betas_zero_snr`.
  ///   - smallest: What stands in place of `ᾱ = 0` after rescaling, where something does.
  /// - Throws: Where a value is none the class can have.
  init(
    _ file: inout SchedulerFile, first: Double = 1e-4, last: Double = 0.02,
    shapes: [Shape] = [.linear, .scaledLinear, .cosine], rescalable: Bool = false, smallest: Double? = nil
  ) throws(ArrayFileError) {
    let count = try file.count("num_train_timesteps", 1000, in: 2...100_000)
    let first = try file.number("beta_start", first, in: 1e-12...0.9999)
    let last = try file.number("beta_end", last, in: 1e-12...0.9999)
    let shape = try file.choice("beta_schedule", .linear, among: shapes)
    var betas: [Float]
    if let trained = try file.numbers("trained_betas") {
      guard trained.count >= 2, trained.allSatisfy({ $0 > 0 && $0 < 1 }) else {
        throw file.refusal("trained_betas", "are no variances", repair: "use two or more numbers between 0 and 1")
      }
      guard trained.count == count else {
        throw file.refusal(
          "trained_betas", "are not as many as 'num_train_timesteps', \(count)", repair: "make them equal in number")
      }
      betas = trained.map(Float.init)
    } else {
      betas = Self.variances(shape, Float(first), Float(last), first, last, count)
    }
    let rescaled = rescalable ? try file.flag("rescale_betas_zero_snr", false) : false
    if rescaled { betas = Self.withoutLastSignal(betas) }
    var kept = Self.products(betas.map { 1 - $0 })
    hasTrace = rescaled && smallest != nil
    if rescaled, let smallest { kept[kept.count - 1] = Float(smallest) }
    let sigmas = kept.map { ((1 - $0) / $0).squareRoot() }
    variances = betas.map(Double.init)
    self.kept = kept.map(Double.init)
    self.sigmas = sigmas.map(Double.init)
    logSigmas = sigmas.map { Double(Float(Double.log(Double($0)))) }
  }

  /// The level of an index, below 0 that of the end.
  func kernel(_ index: Int, end kept: Double = 1) -> PerturbationKernel {
    let kept = index < 0 ? kept : self.kept[Swift.min(index, count - 1)]
    return .level(alpha: kept.squareRoot(), sigma: (1 - kept).squareRoot())
  }

  /// `σ` between the steps of the table, linearly.
  func sigma(at timestep: Double) -> Double {
    let place = Swift.min(Swift.max(timestep, 0), Double(count - 1))
    let index = Swift.min(Int(place), count - 2)
    let fraction = place - Double(index)
    return fraction == 0 ? sigmas[index] : sigmas[index] + (sigmas[index + 1] - sigmas[index]) * fraction
  }

  /// The timestep of a `σ`, linearly in its logarithm, at most the ends.
  func timestep(of sigma: Double) -> Double {
    let log = Double.log(Swift.max(sigma, 1e-10))
    let index = Swift.min(Swift.max(logSigmas.partitioningIndex { $0 > log } - 1, 0), count - 2)
    let (low, high) = (logSigmas[index], logSigmas[index + 1])
    let fraction = Swift.min(Swift.max((low - log) / (low - high), 0), 1)
    return (1 - fraction) * Double(index) + fraction * Double(index + 1)
  }

  /// The schedule whose time is the timestep; a last step without signal is given a trace of it, that of the table where it
  /// has one.
  var schedule: any NoiseSchedule {
    let schedule = DiscreteSchedule(variances: variances.map { Swift.min(Swift.max($0, 1e-12), 1 - 1e-7) })
    return hasTrace ? schedule.ending(atAlpha: kept[count - 1].squareRoot()) : schedule
  }

  private static func variances(
    _ shape: Shape, _ first: Float, _ last: Float, _ start: Double, _ end: Double, _ count: Int
  ) -> [Float] {
    switch shape {
    case .linear: return evenly(first, last, count)
    case .scaledLinear:
      return evenly(Float(start.squareRoot()), Float(end.squareRoot()), count).map { $0 * $0 }
    case .sigmoid:
      return evenly(-6, 6, count).map { 1 / (1 + Float.exp(-$0)) * Float(end - start) + first }
    case .cosine:
      return ratios(count) { u in
        let c = Double.cos((u + 0.008) / 1.008 * .pi / 2)
        return c * c
      }
    case .exponential: return ratios(count) { .exp(-12 * $0) }
    }
  }

  /// `1 − ᾱ(u + 1/N)/ᾱ(u)`, at most 0.999.
  private static func ratios(_ count: Int, _ kept: (Double) -> Double) -> [Float] {
    (0..<count).map { i in
      Float(Swift.min(1 - kept(Double(i + 1) / Double(count)) / kept(Double(i) / Double(count)), 0.999))
    }
  }

  /// Numbers at equal distances, counted from the nearer end and rounded once, as PyTorch does.
  static func evenly(_ first: Float, _ last: Float, _ count: Int) -> [Float] {
    guard count > 1 else { return [first] }
    let step = (last - first) / Float(count - 1)
    return (0..<count).map { i in
      i < count / 2 ? first.addingProduct(step, Float(i)) : last.addingProduct(-step, Float(count - 1 - i))
    }
  }

  /// Cumulative products, each rounded.
  private static func products(_ factors: [Float]) -> [Float] {
    var product = 1.0
    return factors.map { factor in
      product *= Double(factor)
      return Float(product)
    }
  }

  /// The variances by which the last level has no signal: `√ᾱ` moved and stretched.
  ///
  /// Source: Lin et al. 2024, arXiv:2305.08891, algorithm 1.
  private static func withoutLastSignal(_ betas: [Float]) -> [Float] {
    let roots = products(betas.map { 1 - $0 }).map { $0.squareRoot() }
    let (first, last) = (roots[0], roots[roots.count - 1])
    let kept = roots.map { root in
      let moved = (root - last) * (first / (first - last))
      return moved * moved
    }
    return [1 - kept[0]] + zip(kept.dropFirst(), kept).map { 1 - $0 / $1 }
  }
}

extension PerturbationKernel {
  /// A level whose rates nobody asks for.
  static func level(alpha: Double, sigma: Double) -> Self {
    PerturbationKernel(time: 0, alpha: alpha, sigma: sigma, alphaRate: 0, sigmaRate: 0)
  }
  /// The level of `x/α`.
  static func exploding(_ sigma: Double) -> Self { level(alpha: 1, sigma: sigma) }
  /// The level of a ratio `σ/α`, `α² + σ² = 1`.
  static func preserving(_ ratio: Double) -> Self {
    let alpha = 1 / (ratio * ratio + 1).squareRoot()
    return level(alpha: alpha, sigma: ratio * alpha)
  }
  /// The level of the straight path.
  static func straight(_ sigma: Double) -> Self {
    PerturbationKernel(time: 0, alpha: 1 - sigma, sigma: sigma, alphaRate: -1, sigmaRate: 1)
  }
}

extension Array where Element == Double {
  /// The first index at which a condition holds that holds from there on.
  func partitioningIndex(where holds: (Double) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if holds(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
