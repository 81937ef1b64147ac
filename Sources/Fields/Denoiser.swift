import ScorefieldPaths
import ScorefieldTensorCore

/// An estimate of the posterior mean of the data, `x̂₀(x, t) ≈ E[x₀ | x_t = x]`, at every point and time.
///
/// It is the one thing a diffusion model knows. Noise, score and velocity are the same knowledge in other coordinates,
/// so they are computed here, once, and no model overrides them.
public protocol Denoiser: Sendable {
  var schedule: any NoiseSchedule { get }
  /// `x̂₀(x, t)`; shape `[B, …]` in and out.
  func denoise(_ x: Tensor, at t: Double) -> Tensor
  /// `x̂₀` of several batches, each at its own time.
  ///
  /// A requirement, so that a denoiser that can answers all of them at once; the others go one by one.
  func denoise(_ points: [Tensor], at times: [Double]) -> [Tensor]
}

extension Denoiser {
  public func denoise(_ points: [Tensor], at times: [Double]) -> [Tensor] {
    zip(points, times).map { denoise($0, at: $1) }
  }

  /// The expected noise, `ε̂ = (x − α x̂₀) / σ`.
  public func noise(_ x: Tensor, at t: Double) -> Tensor {
    schedule.kernel(at: t).noise(in: x, beside: denoise(x, at: t))
  }

  /// The score `∇ log p_t(x) = −ε̂ / σ` (Tweedie's formula).
  public func score(_ x: Tensor, at t: Double) -> Tensor {
    -noise(x, at: t) / schedule.kernel(at: t).sigma
  }
}
