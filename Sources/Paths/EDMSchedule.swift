import RealModule

/// The schedule whose time is the noise level.
///
///     α(t) = 1,   σ(t) = t
///
/// Source: Karras et al. 2022, arXiv:2206.00364, table 1.
public struct EDMSchedule: NoiseSchedule {
  public var timeRange: ClosedRange<Double> { 1e-4...100 }

  public init() {}

  public func alpha<S: Elementary>(_ t: S) -> S { 1 }
  public func sigma<S: Elementary>(_ t: S) -> S { t }
  public func time(atHalfLogSNR halfLogSNR: Double) -> Double { inRange(.exp(-halfLogSNR), at: halfLogSNR) }
}

extension NoiseSchedule where Self == EDMSchedule {
  public static var edm: Self { Self() }
}
