import RealModule

/// The schedule with the variance-preserving signal and less noise.
///
///     α(t) = exp(−½ ∫₀ᵗ β),   σ(t) = 1 − α(t)²
///
/// Source: Song et al. 2021, arXiv:2011.13456, eq. 29.
public struct SubVariancePreserving: NoiseSchedule {
  public let betaMin, betaMax: Double
  public var timeRange: ClosedRange<Double> { 1e-5...1 }

  public init(betaMin: Double = 0.1, betaMax: Double = 20) { (self.betaMin, self.betaMax) = (betaMin, betaMax) }

  public func alpha<S: Elementary>(_ t: S) -> S { .exp(-0.5 * linearIntegral(t, betaMin, betaMax)) }
  public func sigma<S: Elementary>(_ t: S) -> S { -S.expMinusOne(-linearIntegral(t, betaMin, betaMax)) }
}

extension NoiseSchedule where Self == SubVariancePreserving {
  public static var subVariancePreserving: Self { Self() }
}
