import RealModule

/// The schedule with the variance-preserving signal and less noise.
///
///     α(t) = exp(−½ ∫₀ᵗ β),   σ(t) = 1 − α(t)²
///
/// Source: Song et al. 2021, arXiv:2011.13456, eq. 29.
public struct SubVariancePreserving: NoiseSchedule {
  private let rate: LinearRate
  public var betaMin: Double { rate.first }
  public var betaMax: Double { rate.last }
  public var timeRange: ClosedRange<Double> { 1e-5...1 }

  public init(betaMin: Double = 0.1, betaMax: Double = 20) {
    rate = LinearRate(betaMin, betaMax, of: "SubVariancePreserving")
  }

  public func alpha<S: Elementary>(_ t: S) -> S { .exp(-0.5 * rate.integral(t)) }
  public func sigma<S: Elementary>(_ t: S) -> S { -S.expMinusOne(-rate.integral(t)) }
  // α/σ = 1/(2 sinh ½∫β).
  public func time(atHalfLogSNR halfLogSNR: Double) -> Double {
    inRange(rate.time(atIntegral: 2 * .asinh(.exp(-halfLogSNR) / 2)), at: halfLogSNR)
  }
}

extension NoiseSchedule where Self == SubVariancePreserving {
  public static var subVariancePreserving: Self { Self() }
}
