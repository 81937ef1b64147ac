import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// Reverse diffusion: the reverse SDE discretised as its forward process is.
///
///     x_t = α_{t|s} x_s + σ_{t|s} ξ             forward, exactly
///     x_s = (2 − α_{t|s}) x_t + σ²_{t|s} ∇ log p_t + σ_{t|s} ξ
///
/// - Order: 1, in distribution. One denoiser evaluation per step.
///
/// Source: Song et al. 2021, arXiv:2011.13456, eq. 46, which for their chains is what appendix E prints.
public struct ReverseDiffusion: Solver {
  public let noise: NoiseSource

  public init(noise: NoiseSource) { self.noise = noise }

  public func makeMemory() -> NoiseStream { NoiseStream(noise) }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout NoiseStream
  ) -> Tensor {
    let (now, next) = (field.schedule.kernel(at: t), field.schedule.kernel(at: s))
    let forward = Transition(from: next, to: now)
    let noise = (x - now.alpha * field.denoise(x, at: t)) / now.sigma
    return (2 - forward.alpha) * x - (forward.variance / now.sigma) * noise + forward.sigma * memory.draw(like: x)
  }
}
