import ScorefieldFields
import ScorefieldTensorCore

/// DDIM that can be undone exactly, by a step back from the middle of every two: bidirectional integration.
///
///     x_{i+1} = DDIM(xᵢ → tᵢ₊₁) + γ (x_{i−1} − DDIM(xᵢ → tᵢ₋₁))
///
/// Towards the noise the equation is solved for `x_{i−1}`, so the way back along the same times is exact to rounding, but
/// rounding grows by `1/γ` with every step. The first step is DDIM.
///
/// - Order: 2 where `γ` is 1, else 1 towards the data. One denoiser evaluation per step.
///
/// Source: Zhang, Lewis & Kleijn 2023, arXiv:2307.10829, eq. 17.
public struct BDIA: Solver {
  /// `γ`, in (0, 1].
  public let weight: Double

  public init(weight: Double = 1) {
    guard weight > 0, weight <= 1 else { fatalError("BDIA(weight: \(weight)): must lie in (0, 1]") }
    self.weight = weight
  }

  public typealias Memory = TurningMemory
  public func makeMemory() -> Memory { Memory() }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout Memory
  ) -> Tensor {
    if let back = memory.turn(x, from: t, to: s) { return back }
    let step = FrameStep(.data, on: field.schedule, from: t, to: s)
    let data = field.denoise(x, at: t)
    defer { memory.previous = (t, x) }
    guard let previous = memory.previous, step.isRegular else { return step.ddim(x, data) }
    let back = FrameStep(.data, on: field.schedule, from: t, to: previous.time)
    guard back.isRegular else { return step.ddim(x, data) }
    let gamma = step.h > 0 ? weight : 1 / weight
    return .combination([
      (step.next.sigma / step.now.sigma - gamma * back.next.sigma / back.now.sigma, x),
      (step.moment(1) - gamma * back.moment(1), data), (gamma, previous.state),
    ])
  }
}

extension Solver where Self == BDIA {
  public static var bdia: Self { Self() }
}
