import RealModule
import ScorefieldPaths

/// How much the squared error counts at a noise level, `ω(t)`.
///
/// The error is that of some head; each of these says of which it is meant.
public struct Weighting: Sendable {
  public let weight: @Sendable (PerturbationKernel) -> Double

  public init(_ weight: @escaping @Sendable (PerturbationKernel) -> Double) { self.weight = weight }

  public func callAsFunction(at kernel: PerturbationKernel) -> Double { weight(kernel) }
}

extension Weighting {
  /// 1: of the noise it is the "simple" loss of DDPM.
  ///
  /// Source: Ho et al. 2020, arXiv:2006.11239, eq. 14.
  public static let constant = Weighting { _ in 1 }
  /// `g²`: of the score it bounds the likelihood, up to ½.
  ///
  /// Source: Song et al. 2021, arXiv:2101.09258, theorem 1.
  public static let likelihood = Weighting { $0.diffusionSquared }
  /// `σ²`: of the score it counts the noise's error.
  ///
  /// Source: Song & Ermon 2019, arXiv:1907.05600, section 4.2.
  public static let variance = Weighting { $0.sigma * $0.sigma }
  /// `α²/σ²`: of the data it counts the noise's error.
  public static let signalToNoise = Weighting { $0.signalToNoise }
  /// `−d(α²/σ²)/dt`: of the data it is the variational bound, up to ½.
  ///
  /// Source: Kingma et al. 2021, arXiv:2107.00630, eq. 17.
  public static let variationalBound = Weighting { 2 * $0.signalToNoise * $0.logRatioRate }
  /// `α²/σ²` a step earlier less that of now: of the data it is the variational bound of a chain of steps, up to ½.
  ///
  /// 0 where there is no earlier step: the first has no posterior to match.
  ///
  /// Source: Kingma et al. 2021, arXiv:2107.00630, eq. 14; of the noise it is Ho et al. 2020, arXiv:2006.11239, eq. 12.
  public static func variationalBound(of schedule: any NoiseSchedule, step: Double = 1) -> Weighting {
    Weighting { kernel in
      let earlier = kernel.time - step
      guard schedule.timeRange.contains(earlier) else { return 0 }
      return schedule.kernel(at: earlier).signalToNoise - kernel.signalToNoise
    }
  }
  /// `min(α²/σ², γ)`, of the data.
  ///
  /// Source: Hang et al. 2023, arXiv:2303.09556, section 3.4.
  public static func truncatedSignalToNoise(_ limit: Double = 5) -> Weighting {
    Weighting { min($0.signalToNoise, limit) }
  }
  /// `sigmoid(b − 2λ) = 1/(1 + e^{2λ − b})`, of the noise: falls monotonically with the log-SNR.
  ///
  /// Source: Kingma & Gao 2023, arXiv:2303.00848, section 4 and appendix D.
  public static func sigmoid(bias: Double = 2) -> Weighting {
    Weighting { 1 / (1 + .exp(2 * $0.halfLogSNR - bias)) }
  }
  /// `(σ² + α² σ_d²)/(σ σ_d)²`, of the data: the error of a network of unit variance, everywhere the same.
  ///
  /// Source: Karras et al. 2022, arXiv:2206.00364, table 1 (there α = 1).
  public static func edm(sigmaData: Double) -> Weighting {
    Weighting {
      let (signal, noise) = ($0.alpha * sigmaData, $0.sigma)
      return (noise * noise + signal * signal) / (noise * noise * sigmaData * sigmaData)
    }
  }

  /// `ω/p`: the mean over draws becomes the integral over time, however the times are drawn.
  ///
  ///     E_p [ω/p · L] = ∫ ω L dt
  public func perDensity(of times: any TimeDistribution) -> Weighting {
    Weighting { weight($0) / times.density(at: $0.time) }
  }
}
