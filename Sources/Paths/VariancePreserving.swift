import RealModule

/// The variance-preserving schedule with linear rate `β(t) = β₀ + t (β₁ − β₀)`.
///
///     α(t) = exp(−½ ∫₀ᵗ β),   σ(t) = √(1 − α(t)²)
///
/// Source: Song et al. 2021, arXiv:2011.13456, eq. 32–33.
public struct VariancePreserving: NoiseSchedule {
  public let betaMin, betaMax: Double
  public var timeRange: ClosedRange<Double> { 1e-5...1 }

  public init(betaMin: Double = 0.1, betaMax: Double = 20) { (self.betaMin, self.betaMax) = (betaMin, betaMax) }

  public func alpha<S: Elementary>(_ t: S) -> S { .exp(-0.5 * linearIntegral(t, betaMin, betaMax)) }
  // Not √(1 − α²), which cancels as t → 0.
  public func sigma<S: Elementary>(_ t: S) -> S { .sqrt(-S.expMinusOne(-linearIntegral(t, betaMin, betaMax))) }
}

/// `∫₀ᵗ β` of the linear rate.
func linearIntegral<S: Elementary>(_ t: S, _ betaMin: Double, _ betaMax: Double) -> S {
  t * (S(betaMin) + 0.5 * t * S(betaMax - betaMin))
}

extension NoiseSchedule where Self == VariancePreserving {
  public static var variancePreserving: Self { Self() }
}
