import RealModule
import ScorefieldPaths

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
    guard high - low > 1e-6 else {
      fatalError(
        "LogNormalNoise(mean: \(mean), standardDeviation: \(standardDeviation)): the schedule reaches a share of "
          + "\(high - low) of it")
    }
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
