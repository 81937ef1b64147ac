import ScorefieldFields
import ScorefieldTensorCore

/// The deterministic DDIM step: keep the denoiser's estimate, move it to the other noise level.
///
///     x_s = α_s x̂₀ + σ_s ε̂,   x̂₀ and ε̂ at (x_t, t)
///
/// It is Euler's method for `x/α` in `σ/α`, and exact where `x̂₀` does not change along the path, as for one data point.
///
/// - Order: 1. One denoiser evaluation per step.
///
/// Source: Song, Meng & Ermon 2021, arXiv:2010.02502, eq. 12 with `σ = 0`.
public struct DDIM: Solver {
  public init() {}

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout NoMemory
  ) -> Tensor {
    let (now, next) = (field.schedule.kernel(at: t), field.schedule.kernel(at: s))
    let data = field.denoise(x, at: t)
    return next.alpha * data + (next.sigma / now.sigma) * (x - now.alpha * data)
  }
}

extension Solver where Self == DDIM {
  public static var ddim: Self { Self() }
}
