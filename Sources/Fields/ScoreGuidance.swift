import ScorefieldPaths
import ScorefieldTensorCore

/// A field tilted by a function of the noisy state: classifier guidance, a loss, a likelihood.
///
///     ∇ log q̃ = ∇ log q + w ∇ₓ log h(x, t),   x̂₀ + w (σ²/α) ∇ₓ log h(x, t)
///
/// With `log h = log p(c | x, t)` it is classifier guidance, with `−τ ℓ(x, t)` that of a loss, and with a likelihood of
/// `x̂₀(x)` diffusion posterior sampling. Where `log h` asks the denoiser, the gradient goes through it. The flow of a tilted score does
/// not sample the tilted densities; it only leans towards them.
///
/// - Cost: One evaluation of the denoiser, and a gradient of `log h`; at the weight 0 the denoiser alone.
///
/// Source: Dhariwal & Nichol 2021, arXiv:2105.05233, eqs. 12–14; Song et al. 2021, arXiv:2011.13456, appendix I.
public struct ScoreGuidance<Base: Denoiser>: Denoiser {
  public let base: Base
  /// `w`.
  public let scale: GuidanceScale
  /// `log h(x, t)` of each sample, `[B, …] → [B]`, differentiable; no sample may depend on another.
  public let logWeight: @Sendable (Tensor, Double) -> Tensor
  public var schedule: any NoiseSchedule { base.schedule }

  public init(_ base: Base, scale: Double = 1, by logWeight: @escaping @Sendable (Tensor, Double) -> Tensor) {
    self.init(base, scale: .constant(scale), by: logWeight)
  }

  public init(_ base: Base, scale: GuidanceScale, by logWeight: @escaping @Sendable (Tensor, Double) -> Tensor) {
    (self.base, self.scale, self.logWeight) = (base, scale, logWeight)
  }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor {
    let kernel = schedule.kernel(at: t)
    let scale = scale(at: t)
    guard scale != 0 else { return base.denoise(x, at: t) }
    let (weights, pullback) = vjp(at: x) { [logWeight] in logWeight($0, t) }
    guard weights.shape == [x.batch] else {
      fatalError(
        "ScoreGuidance.denoise(\(x.shape)): the weight has shape \(weights.shape); needs one per sample, [\(x.batch)]")
    }
    let gain = scale * kernel.sigma * kernel.sigma / kernel.alpha
    return base.denoise(x, at: t) + gain * pullback(.ones(like: weights))
  }
}
