import RealModule
import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// SDE-DPM-Solver++: the reverse SDE solved in `λ = log(α/σ)`, exactly but for the denoiser's estimate.
///
///     x_s = (σ_s/σ_t) e^{−h} x_t + α_s (1 − e^{−2h}) D + σ_s √(1 − e^{−2h}) ξ,   h = λ_s − λ_t
///     D = x̂₀                                      first order: the ancestral sampler
///     D = x̂₀ + (h/2h₋) (x̂₀ − x̂₀(t₋))              second order, multistep (2M)
///
/// A last step to `σ_s = 0` gives `α_s x̂₀`.
///
/// - Order: 1, or 2 in what is not noise. One denoiser evaluation per step; the first step is of order 1.
///
/// Source: Lu et al. 2022, arXiv:2211.01095, section 6 and appendix E.
public struct SDEDPMSolver: Solver {
  public enum Order: Int, Sendable { case first = 1, second }

  public let order: Order
  public let noise: NoiseSource

  public struct Memory: Sendable {
    fileprivate var noise: NoiseStream
    fileprivate var last: (data: Tensor, halfLogSNR: Double)?
  }

  public init(_ order: Order = .second, noise: NoiseSource) { (self.order, self.noise) = (order, noise) }

  public func makeMemory() -> Memory { Memory(noise: NoiseStream(noise)) }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout Memory
  ) -> Tensor {
    let (now, next) = (field.schedule.kernel(at: t), field.schedule.kernel(at: s))
    let data = field.denoise(x, at: t)
    defer { memory.last = (data, now.halfLogSNR) }
    guard next.sigma > 0 else { return next.alpha * data }
    let h = next.halfLogSNR - now.halfLogSNR
    var estimate = data
    if order == .second, let last = memory.last {
      estimate = data + (0.5 * h / (now.halfLogSNR - last.halfLogSNR)) * (data - last.data)
    }
    let gained = -Double.expMinusOne(-2 * h)
    return (next.sigma / now.sigma * .exp(-h)) * x + (next.alpha * gained) * estimate
      + (next.sigma * gained.squareRoot()) * memory.noise.draw(like: x)
  }
}
