import RealModule

/// The variance-preserving schedule with linear rate `β(t) = β₀ + t (β₁ − β₀)`.
///
///     α(t) = exp(−½ ∫₀ᵗ β),   σ(t) = √(1 − α(t)²)
///
/// Source: Song et al. 2021, arXiv:2011.13456, eq. 32–33.
public struct VariancePreserving: NoiseSchedule {
  private let rate: LinearRate
  public var betaMin: Double { rate.first }
  public var betaMax: Double { rate.last }
  public var timeRange: ClosedRange<Double> { 1e-5...1 }

  public init(betaMin: Double = 0.1, betaMax: Double = 20) {
    rate = LinearRate(betaMin, betaMax, of: "VariancePreserving")
  }

  public func alpha<S: Elementary>(_ t: S) -> S { .exp(-0.5 * rate.integral(t)) }
  // Not √(1 − α²), which cancels as t → 0.
  public func sigma<S: Elementary>(_ t: S) -> S { .sqrt(-S.expMinusOne(-rate.integral(t))) }
  public func time(atHalfLogSNR halfLogSNR: Double) -> Double {
    inRange(rate.time(atIntegral: softplus(-2 * halfLogSNR)), at: halfLogSNR)
  }
}

extension NoiseSchedule where Self == VariancePreserving {
  public static var variancePreserving: Self { Self() }
}
