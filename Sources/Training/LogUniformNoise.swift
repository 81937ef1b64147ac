import RealModule
import ScorefieldPaths

/// Noise-to-signal ratios `k = σ/α` log-uniform over a range.
public struct LogUniformNoise: TimeDistribution {
  public let schedule: any NoiseSchedule
  public let ratios: ClosedRange<Double>

  public init(on schedule: any NoiseSchedule, ratios: ClosedRange<Double>) {
    guard ratios.lowerBound > 0, ratios.upperBound > ratios.lowerBound else {
      fatalError("LogUniformNoise(ratios: \(ratios)): must be larger than 0, and more than one")
    }
    // Stops where the schedule does not reach them.
    _ = (schedule.time(atNoiseToSignal: ratios.lowerBound), schedule.time(atNoiseToSignal: ratios.upperBound))
    (self.schedule, self.ratios) = (schedule, ratios)
  }

  public func time(atQuantile u: Double) -> Double {
    let (low, high) = (Double.log(ratios.lowerBound), Double.log(ratios.upperBound))
    return schedule.time(atHalfLogSNR: -(low + u * (high - low)))
  }

  public func density(at t: Double) -> Double {
    guard schedule.timeRange.contains(t) else { return 0 }
    let kernel = schedule.kernel(at: t)
    guard ratios.contains(kernel.sigma / kernel.alpha) else { return 0 }
    return kernel.logRatioRate / .log(ratios.upperBound / ratios.lowerBound)
  }
}
