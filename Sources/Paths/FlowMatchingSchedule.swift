import RealModule

/// The straight line from data to noise.
///
///     α(t) = 1 − t,   σ(t) = t
///
/// Source: Lipman et al. 2023, arXiv:2210.02747, eq. 20 with `σ_min = 0` and time reversed.
public struct FlowMatchingSchedule: NoiseSchedule {
  public var timeRange: ClosedRange<Double> { 1e-5...(1 - 1e-5) }

  public init() {}

  public func alpha<S: Elementary>(_ t: S) -> S { 1 - t }
  public func sigma<S: Elementary>(_ t: S) -> S { t }
  public func time(atHalfLogSNR halfLogSNR: Double) -> Double {
    inRange(1 / (1 + .exp(halfLogSNR)), at: halfLogSNR)
  }
}

extension NoiseSchedule where Self == FlowMatchingSchedule {
  public static var flowMatching: Self { Self() }
}
