import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// Ancestral sampling: a draw from what the forward process leaves to be known, with the estimate in place of the data.
///
///     x_s = α_{t|s} (σ_s²/σ_t²) x_t + α_s (σ²_{t|s}/σ_t²) x̂₀ + d ξ
///     α_{t|s} = α_t/α_s,   σ²_{t|s} = σ_t² − α²_{t|s} σ_s²
///
/// On any schedule and any grid; on that of DDPM it is DDPM's sampler. The last step to `σ_s = 0` gives `α_s x̂₀`.
///
/// - Order: 1, in distribution. One denoiser evaluation per step.
///
/// Source: Ho, Jain & Abbeel 2020, arXiv:2006.11239, eq. 7 and section 3.2; Kingma et al. 2021, arXiv:2107.00630, eq. 25.
public struct AncestralSampler: Solver {
  /// `d`, how much noise a step adds.
  public enum Variance: Sendable {
    /// `σ_{t|s} σ_s/σ_t`: right where the data are one point.
    case small
    /// `σ_{t|s}`: right where the data are of unit variance.
    case large
  }

  public let variance: Variance
  public let noise: NoiseSource

  public init(_ variance: Variance = .small, noise: NoiseSource) { (self.variance, self.noise) = (variance, noise) }

  public func makeMemory() -> NoiseStream { NoiseStream(noise) }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout NoiseStream
  ) -> Tensor {
    let (now, next) = (field.schedule.kernel(at: t), field.schedule.kernel(at: s))
    let data = field.denoise(x, at: t)
    guard next.sigma > 0 else { return next.alpha * data }
    let forward = Transition(from: next, to: now)
    let (kept, gained) = (next.sigma / now.sigma, forward.sigma / now.sigma)
    let deviation =
      switch variance {
      case .small: forward.sigma * kept
      case .large: forward.sigma
      }
    return (forward.alpha * kept * kept) * x + (next.alpha * gained * gained) * data
      + deviation * memory.draw(like: x)
  }
}
