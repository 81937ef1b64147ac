import RealModule
import ScorefieldPaths
import ScorefieldTensorCore

/// How the times of training are drawn.
///
/// A conformer says where each quantile lies, so that draws, stratified draws and densities agree.
public protocol TimeDistribution: Sendable {
  /// The time below which a share `u` of the draws lies, `0 ≤ u ≤ 1`.
  func time(atQuantile u: Double) -> Double
  /// The density of the draws per unit of time.
  func density(at t: Double) -> Double
}

extension TimeDistribution {
  /// Independent times.
  public func times(_ count: Int, using generator: inout Generator) -> [Double] {
    Tensor.uniform([count], using: &generator).doubles.map(time(atQuantile:))
  }

  /// Times spread evenly over the quantiles, with one random shift and in random order: each of them has the distribution,
  /// and together they have far less variance.
  ///
  /// Source: Kingma et al. 2021, arXiv:2107.00630, appendix I.1.
  public func stratifiedTimes(_ count: Int, using generator: inout Generator) -> [Double] {
    let shift = Tensor.uniform([1], using: &generator).item
    let order = Tensor.permutation(count, using: &generator).integers
    return order.map { time(atQuantile: (Double($0) + shift) / Double(count)) }
  }
}

/// Times uniform over a range.
public struct UniformTimes: TimeDistribution {
  public let range: ClosedRange<Double>

  public init(_ range: ClosedRange<Double>) { self.range = range }

  public func time(atQuantile u: Double) -> Double {
    range.lowerBound + u * (range.upperBound - range.lowerBound)
  }
  public func density(at t: Double) -> Double {
    range.contains(t) ? 1 / (range.upperBound - range.lowerBound) : 0
  }
}

/// The timesteps `first…last` of a discrete schedule, equally likely; the density is that of a step of unit width.
public struct DiscreteTimes: TimeDistribution {
  public let steps: ClosedRange<Int>

  public init(_ steps: ClosedRange<Int>) { self.steps = steps }

  public func time(atQuantile u: Double) -> Double {
    Double(min(steps.lowerBound + Int(u * Double(steps.count)), steps.upperBound))
  }
  public func density(at t: Double) -> Double {
    t == t.rounded() && steps.contains(Int(t)) ? 1 / Double(steps.count) : 0
  }
}

/// Times of which `log(t/(1 − t))`, within a range, is normal.
///
/// Source: Esser et al. 2024, arXiv:2403.03206, eq. 19.
public struct LogitNormalTimes: TimeDistribution {
  public let range: ClosedRange<Double>
  public let mean, standardDeviation: Double

  public init(_ range: ClosedRange<Double>, mean: Double = 0, standardDeviation: Double = 1) {
    guard standardDeviation > 0 else {
      fatalError("LogitNormalTimes(standardDeviation: \(standardDeviation)): must be > 0")
    }
    (self.range, self.mean, self.standardDeviation) = (range, mean, standardDeviation)
  }

  public func time(atQuantile u: Double) -> Double {
    let logit = mean + standardDeviation * NormalQuantile.value(at: u)
    let share = logit >= 0 ? 1 / (1 + .exp(-logit)) : .exp(logit) / (1 + .exp(logit))
    return range.lowerBound + share * (range.upperBound - range.lowerBound)
  }

  public func density(at t: Double) -> Double {
    let width = range.upperBound - range.lowerBound
    let share = (t - range.lowerBound) / width
    guard share > 0, share < 1 else { return 0 }
    let z = (.log(share / (1 - share)) - mean) / standardDeviation
    return .exp(-0.5 * z * z) / ((2 * .pi).squareRoot() * standardDeviation * share * (1 - share) * width)
  }
}

/// Noise-to-signal ratios `k = σ/α` log-uniform over a range.
public struct LogUniformNoise: TimeDistribution {
  public let schedule: any NoiseSchedule
  public let ratios: ClosedRange<Double>

  public init(on schedule: any NoiseSchedule, ratios: ClosedRange<Double>) {
    guard ratios.lowerBound > 0 else { fatalError("LogUniformNoise(ratios: \(ratios)): must be larger than 0") }
    (self.schedule, self.ratios) = (schedule, ratios)
  }

  public func time(atQuantile u: Double) -> Double {
    let (low, high) = (Double.log(ratios.lowerBound), Double.log(ratios.upperBound))
    return schedule.time(atHalfLogSNR: -(low + u * (high - low)))
  }

  public func density(at t: Double) -> Double {
    let kernel = schedule.kernel(at: t)
    guard ratios.contains(kernel.sigma / kernel.alpha) else { return 0 }
    return kernel.logRatioRate / .log(ratios.upperBound / ratios.lowerBound)
  }
}

/// Noise-to-signal ratios whose logarithm is normal, cut off where the schedule ends.
///
/// Source: Karras et al. 2022, arXiv:2206.00364, table 1.
public struct LogNormalNoise: TimeDistribution {
  public let schedule: any NoiseSchedule
  public let mean, standardDeviation: Double
  /// The shares of the normal distribution below and up to the schedule's ends.
  private let low, high: Double

  public init(on schedule: any NoiseSchedule, mean: Double = -1.2, standardDeviation: Double = 1.2) {
    guard standardDeviation > 0 else {
      fatalError("LogNormalNoise(standardDeviation: \(standardDeviation)): must be > 0")
    }
    (self.schedule, self.mean, self.standardDeviation) = (schedule, mean, standardDeviation)
    func share(below t: Double) -> Double {
      NormalQuantile.share(below: (-schedule.kernel(at: t).halfLogSNR - mean) / standardDeviation)
    }
    (low, high) = (share(below: schedule.timeRange.lowerBound), share(below: schedule.timeRange.upperBound))
  }

  public func time(atQuantile u: Double) -> Double {
    let ends = schedule.timeRange
    let logRatio = mean + standardDeviation * NormalQuantile.value(at: low + u * (high - low))
    if logRatio <= -schedule.kernel(at: ends.lowerBound).halfLogSNR { return ends.lowerBound }
    if logRatio >= -schedule.kernel(at: ends.upperBound).halfLogSNR { return ends.upperBound }
    return schedule.time(atHalfLogSNR: -logRatio)
  }

  public func density(at t: Double) -> Double {
    guard schedule.timeRange.contains(t) else { return 0 }
    let kernel = schedule.kernel(at: t)
    let z = (-kernel.halfLogSNR - mean) / standardDeviation
    return .exp(-0.5 * z * z) / ((2 * .pi).squareRoot() * standardDeviation * (high - low)) * kernel.logRatioRate
  }
}

/// A mixture of two distributions: the first with probability `share`.
public struct MixedTimes: TimeDistribution {
  public let share: Double
  public let first, second: any TimeDistribution

  public init(_ share: Double, of first: any TimeDistribution, else second: any TimeDistribution) {
    guard (0...1).contains(share) else { fatalError("MixedTimes(\(share)): the share lies between 0 and 1") }
    (self.share, self.first, self.second) = (share, first, second)
  }

  /// Not a quantile of the mixture in order of time: the draws below `share` are the first's.
  public func time(atQuantile u: Double) -> Double {
    u < share ? first.time(atQuantile: u / share) : second.time(atQuantile: min((u - share) / (1 - share), 1))
  }

  public func density(at t: Double) -> Double {
    share * first.density(at: t) + (1 - share) * second.density(at: t)
  }
}

/// The normal distribution's quantiles.
enum NormalQuantile {
  static func share(below z: Double) -> Double { 0.5 * .erfc(-z / Double(2).squareRoot()) }

  /// By bisection, to the last bit.
  static func value(at u: Double) -> Double {
    var (low, high) = (-9.0, 9.0)
    while true {
      let middle = low + (high - low) / 2
      guard low < middle, middle < high else { return low }
      if share(below: middle) < u { low = middle } else { high = middle }
    }
  }
}

extension PerturbationKernel {
  /// `d log(σ/α)/dt`.
  var logRatioRate: Double { sigmaRate / sigma - alphaRate / alpha }
}
