import ScorefieldFields
import ScorefieldTensorCore

/// The explicit two-step method that is its own inverse, with the least error of its kind (O-BELM).
///
///     y_{i+1} = r² y_{i−1} + (1 − r²) yᵢ + h (1 + r) ε̂ᵢ,   y = x/α,   h = κ_{i+1} − κᵢ,   r = h/h₋,   κ = σ/α
///
/// The way back along the same times is exact to rounding. The first step is DDIM.
///
/// - Order: 2. One denoiser evaluation per step.
///
/// Source: Wang et al. 2024, arXiv:2410.07273, eq. 18.
public struct BELM: Solver {
  public init() {}

  public typealias Memory = TurningMemory
  public func makeMemory() -> Memory { Memory() }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout Memory
  ) -> Tensor {
    if let back = memory.turn(x, from: t, to: s) { return back }
    let step = FrameStep(.noise, on: field.schedule, from: t, to: s)
    let data = field.denoise(x, at: t)
    defer { memory.previous = (t, x) }
    guard let previous = memory.previous, step.isRegular else { return step.ddim(x, data) }
    let before = field.schedule.kernel(at: previous.time)
    guard before.alpha > 0 else { return step.ddim(x, data) }
    let h = step.next.noiseToSignal - step.now.noiseToSignal
    let r = h / (step.now.noiseToSignal - before.noiseToSignal)
    let node = step.frame.node(x, data, at: step.now)
    return .combination([
      ((1 - r * r) * step.next.alpha / step.now.alpha, x), (r * r * step.next.alpha / before.alpha, previous.state),
      (step.next.alpha * h * (1 + r) / node.unit, node.quantity),
    ])
  }
}

extension Solver where Self == BELM {
  public static var belm: Self { Self() }
}
