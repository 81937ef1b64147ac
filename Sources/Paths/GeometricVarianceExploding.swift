import RealModule

/// The variance-exploding schedule whose noise levels grow geometrically, less the noise it starts with.
///
///     α(t) = 1,   σ(t) = √(s(t)² − s(0)²),   s(t) = σ_min (σ_max/σ_min)ᵗ
///
/// `s` is what the literature calls σ(t); the kernel of its SDE has the variance it has gained.
///
/// Source: Song et al. 2021, arXiv:2011.13456, eqs. 30 and 31.
public struct GeometricVarianceExploding: NoiseSchedule {
  public let sigmaMin, sigmaMax: Double
  public var timeRange: ClosedRange<Double> { 1e-5...1 }

  public init(sigmaMin: Double = 0.01, sigmaMax: Double = 50) {
    guard 0 < sigmaMin, sigmaMin < sigmaMax, sigmaMax.isFinite else {
      fatalError(
        "GeometricVarianceExploding(sigmaMin: \(sigmaMin), sigmaMax: \(sigmaMax)): needs 0 < sigmaMin < sigmaMax")
    }
    (self.sigmaMin, self.sigmaMax) = (sigmaMin, sigmaMax)
  }

  public func alpha<S: Elementary>(_ t: S) -> S { 1 }
  // Not √(s(t)² − s(0)²), which cancels as t → 0.
  public func sigma<S: Elementary>(_ t: S) -> S { S(sigmaMin) * .sqrt(.expMinusOne(S(rate) * t)) }
  public func time(atHalfLogSNR halfLogSNR: Double) -> Double {
    let level = Double.exp(-halfLogSNR) / sigmaMin
    return inRange(.log(onePlus: level * level) / rate, at: halfLogSNR)
  }

  /// `d log s²/dt`.
  private var rate: Double { 2 * .log(sigmaMax / sigmaMin) }
}

extension NoiseSchedule where Self == GeometricVarianceExploding {
  public static var geometricVarianceExploding: Self { Self() }
}
