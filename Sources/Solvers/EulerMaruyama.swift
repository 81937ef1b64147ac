import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// The Euler–Maruyama method for the SDEs that share the probability flow's densities, backwards in time.
///
///     x_s = x_t − h (v − ½ γ² ∇ log p_t) + γ √h ξ,   h = t − s,   v = α̇ x̂₀ + σ̇ ε̂
///
/// Any `γ(t) ≥ 0` may be chosen after training: 0 is Euler's method for the flow, `g` the time-reversed SDE.
///
/// - Order: 1 in distribution, 1 along a path (the noise is additive). One denoiser evaluation per step.
///
/// Source: Song et al. 2021, arXiv:2011.13456, eq. 6, for `γ = g`; Zhang & Chen 2023, arXiv:2204.13902, eq. 6, for
/// multiples of it.
public struct EulerMaruyama: Solver {
  /// `γ`, at a level.
  public let diffusion: @Sendable (PerturbationKernel) -> Double
  public let noise: NoiseSource
  /// The end of the step that adds no noise, where there is one.
  public private(set) var lastTime: Double?

  /// The SDE of `γ = share · g`: 1 is the reverse SDE, 0 the flow.
  public init(share: Double = 1, noise: NoiseSource) {
    guard share >= 0, share.isFinite else { fatalError("EulerMaruyama(share: \(share)): it must be 0 or more") }
    self.init(noise: noise) { share == 0 ? 0 : share * $0.diffusion }
  }

  /// The SDE of any `γ(t) ≥ 0`.
  public init(noise: NoiseSource, diffusion: @escaping @Sendable (PerturbationKernel) -> Double) {
    (self.noise, self.diffusion) = (noise, diffusion)
  }

  /// The method whose last step on a grid adds no noise, which would only blur the samples.
  public func withoutLastNoise(on grid: TimeGrid) -> Self {
    var copy = self
    copy.lastTime = grid.last
    return copy
  }

  public func makeMemory() -> NoiseStream { NoiseStream(noise) }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout NoiseStream
  ) -> Tensor {
    let (h, now) = (t - s, field.schedule.kernel(at: t))
    guard h > 0 else {
      fatalError("EulerMaruyama.step(from: \(t), to: \(s)): it runs from later times to earlier ones")
    }
    let gamma = diffusion(now)
    guard gamma >= 0 else { fatalError("EulerMaruyama.step(from: \(t), to: \(s)): γ = \(gamma) is below 0") }
    let data = field.denoise(x, at: t)
    let noise = (x - now.alpha * data) / now.sigma
    // −½ γ² ∇ log p = ½ (γ²/σ) ε̂.
    let gain = now.sigmaRate + 0.5 * gamma * gamma / now.sigma
    let mean = x - h * (now.alphaRate * data + gain * noise)
    return gamma == 0 || s == lastTime ? mean : mean + (gamma * h.squareRoot()) * memory.draw(like: x)
  }
}
