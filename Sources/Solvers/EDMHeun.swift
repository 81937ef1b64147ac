import ScorefieldFields
import ScorefieldTensorCore

/// Heun's method for `x/α` in `σ/α`, in which the flow is straight where the data are one point.
///
///     x̃ = DDIM(x_t, ε̂ₜ),   x_s = (α_s/α_t) x_t + α_s (σ_s/α_s − σ_t/α_t) (ε̂ₜ + ε̂(x̃, s))/2
///
/// On the schedule `edm` it is the deterministic sampler of that paper; a step to no noise at all is DDIM's.
///
/// - Order: 2. Two denoiser evaluations per step.
///
/// Source: Karras et al. 2022, arXiv:2206.00364, algorithm 1.
public struct EDMHeun: Solver {
  public init() {}

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout NoMemory
  ) -> Tensor {
    let step = FrameStep(.noise, on: field.schedule, from: t, to: s)
    let data = field.denoise(x, at: t)
    let end = step.ddim(x, data)
    guard step.isRegular else { return end }
    let half = 0.5 * step.moment(1)
    let (first, second) = (
      step.frame.node(x, data, at: step.now), step.frame.node(end, field.denoise(end, at: s), at: step.next)
    )
    return step.state(x, [half, half], [first, second])
  }
}

extension Solver where Self == EDMHeun {
  public static var edmHeun: Self { Self() }
}
