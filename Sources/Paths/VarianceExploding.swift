import RealModule

/// Brownian motion from the data.
///
///     α(t) = 1,   σ(t) = √t
///
/// Source: Song et al. 2021, arXiv:2011.13456, eq. 9 with `g = 1`.
public struct VarianceExploding: NoiseSchedule {
  public var timeRange: ClosedRange<Double> { 1e-8...1 }

  public init() {}

  public func alpha<S: Elementary>(_ t: S) -> S { 1 }
  public func sigma<S: Elementary>(_ t: S) -> S { .sqrt(t) }
  public func time(atHalfLogSNR halfLogSNR: Double) -> Double {
    inRange(.exp(-2 * halfLogSNR), at: halfLogSNR)
  }
}

extension NoiseSchedule where Self == VarianceExploding {
  public static var varianceExploding: Self { Self() }
}
