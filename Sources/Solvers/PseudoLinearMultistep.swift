import ScorefieldFields
import ScorefieldTensorCore

/// DDIM along the noise that a classical linear multistep method makes of the last four predictions.
///
///     x_s = (α_s/α_t) x_t + α_s (σ_s/α_s − σ_t/α_t) (55 ε̂(t) − 59 ε̂(t₋₁) + 37 ε̂(t₋₂) − 9 ε̂(t₋₃))/24
///
/// - Order: 2, whatever the start: the weights are those of equal steps and a constant speed of `σ/α`.
///
/// Source: Liu et al. 2022, arXiv:2202.09778, algorithm 2 (PNDM); Zhang & Chen 2023, arXiv:2204.13902, section 3.3 (iPNDM).
public struct PseudoLinearMultistep: Solver {
  /// What is done while there are fewer than four predictions.
  public enum Start: Sendable {
    /// Multistep methods of fewer predictions, "iPNDM": one denoiser evaluation per step from the first.
    case lowerOrder
    /// Three steps of the pseudo Runge–Kutta method of four evaluations, "PNDM".
    case rungeKutta
  }

  public let start: Start

  public init(_ start: Start) { self.start = start }

  public typealias Memory = ExponentialAdamsBashforth.Memory

  public func makeMemory() -> Memory { Memory() }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout Memory
  ) -> Tensor {
    let step = FrameStep(.noise, on: field.schedule, from: t, to: s)
    let data = field.denoise(x, at: t)
    guard step.isRegular else {
      memory.nodes = []
      return step.ddim(x, data)
    }
    memory.remember(step.frame.node(x, data, at: step.now), keeping: 4)
    if start == .rungeKutta, memory.nodes.count < 4 {
      return rungeKutta(x, step, memory.nodes[0], field)
    }
    return transfer(x, step, Self.weights[memory.nodes.count - 1], memory.nodes)
  }

  /// The Adams–Bashforth weights of equal steps.
  private static let weights: [[Double]] = [
    [1], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24],
  ]

  /// DDIM along a combination of predictions.
  private func transfer(_ x: Tensor, _ step: FrameStep, _ weights: [Double], _ nodes: [FrameNode]) -> Tensor {
    step.state(x, weights.map { step.moment(1) * $0 }, nodes)
  }

  private func rungeKutta(_ x: Tensor, _ step: FrameStep, _ first: FrameNode, _ field: any Denoiser) -> Tensor {
    let middle = step.schedule.kernel(at: (step.now.time + step.next.time) / 2)
    let half = FrameStep(.noise, on: step.schedule, from: step.now, to: middle)
    func ask(_ part: FrameStep, _ node: FrameNode) -> FrameNode {
      let point = transfer(x, part, [1], [node])
      return part.frame.node(point, field.denoise(point, at: part.next.time), at: part.next)
    }
    let second = ask(half, first)
    let third = ask(half, second)
    let fourth = ask(step, third)
    return transfer(x, step, [1 / 6, 1 / 3, 1 / 3, 1 / 6], [first, second, third, fourth])
  }
}

extension Solver where Self == PseudoLinearMultistep {
  /// PNDM, with a pseudo Runge–Kutta start.
  ///
  /// - Order: 2. Four denoiser evaluations in each of the first three steps, one in those that follow.
  ///
  /// Source: Liu et al. 2022, arXiv:2202.09778, algorithm 2.
  public static var pndm: Self { Self(.rungeKutta) }

  /// iPNDM, whose first steps use what predictions there are.
  ///
  /// - Order: 2. One denoiser evaluation per step.
  ///
  /// Source: Zhang & Chen 2023, arXiv:2204.13902, section 3.3.
  public static var ipndm: Self { Self(.lowerOrder) }
}
