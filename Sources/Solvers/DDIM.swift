import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// The deterministic DDIM step: keep the denoiser's estimate, move it to the other noise level.
///
///     x_s = α_s x̂₀ + σ_s ε̂,   x̂₀ and ε̂ at (x_t, t)
///
/// It is Euler's method for `x/α` in `σ/α`, and exact where `x̂₀` does not change along the path, as for one data point.
/// DPM-Solver-1, DPM-Solver++(1) and DEIS of degree 0 are the same step.
///
/// - Order: 1. One denoiser evaluation per step.
///
/// Source: Song, Meng & Ermon 2021, arXiv:2010.02502, eq. 12 with `σ = 0`.
public struct DDIM: Solver {
  public init() {}

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout NoMemory
  ) -> Tensor {
    let schedule = field.schedule
    return exactForConstantData(
      x, field.denoise(x, at: t), from: schedule.kernel(at: t), to: schedule.kernel(at: s))
  }
}

/// `x_s = α_s x̂₀ + (σ_s/σ_t) (x_t − α_t x̂₀)`, also where `α_t` or `σ_s` is 0; then `x̂₀` alone is left.
package func exactForConstantData(
  _ x: Tensor, _ data: Tensor, from now: PerturbationKernel, to next: PerturbationKernel
) -> Tensor {
  guard now.sigma > 0 else { fatalError("step(from: \(now.time)): σ is 0 there, and the noise not known") }
  let ratio = next.sigma / now.sigma
  return .combination([(ratio, x), (next.alpha - ratio * now.alpha, data)])
}

extension Solver where Self == DDIM {
  public static var ddim: Self { Self() }
}
