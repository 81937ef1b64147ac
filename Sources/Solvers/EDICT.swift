import ScorefieldFields
import ScorefieldTensorCore

/// DDIM that can be undone exactly: two states move by turns, each along the noise the other predicts, and are mixed.
///
///     x̃ = a x + b ε̂(y),   ỹ = a y + b ε̂(x̃),   x_s = p x̃ + (1 − p) ỹ,   y_s = p ỹ + (1 − p) x_s
///
/// Towards the noise a step is the inverse of that towards the data, so the way back along the same times is exact to
/// rounding. The second state is the memory; at first it is the state itself. What two states differ by, a step towards the
/// data multiplies by `p²` and one towards the noise by `1/p²`: a way back, and no encoder by ever more steps.
///
/// - Order: 1, towards the data. Two denoiser evaluations per step.
///
/// Source: Wallace, Gokul & Naik 2022, arXiv:2211.12446, eq. 12–15.
public struct EDICT: Solver {
  /// `p`, how much of itself each state keeps; in (0, 1].
  public let mixing: Double

  public init(mixing: Double = 0.93) {
    guard mixing > 0, mixing <= 1 else { fatalError("EDICT(mixing: \(mixing)): must lie in (0, 1]") }
    self.mixing = mixing
  }

  /// The state beside.
  public struct Memory: Sendable {
    public fileprivate(set) var partner: Tensor?
  }

  public func makeMemory() -> Memory { Memory() }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout Memory
  ) -> Tensor {
    let here = FrameStep(.noise, on: field.schedule, from: t, to: s)
    guard here.isRegular else {
      memory.partner = nil
      return here.ddim(x, field.denoise(x, at: t))
    }
    let partner = memory.partner ?? x
    // Both ways ask at the noisier time.
    let down = here.h < 0 ? here : FrameStep(.noise, on: field.schedule, from: here.next, to: here.now)
    let (a, b) = (down.now.alpha, down.next.alpha)
    func noise(_ point: Tensor) -> FrameNode {
      down.frame.node(point, field.denoise(point, at: down.now.time), at: down.now)
    }
    let p = mixing
    if here.h < 0 {
      let first = down.state(x, [down.moment(1)], [noise(partner)])
      let second = down.state(partner, [down.moment(1)], [noise(first)])
      let end = Tensor.combination([(p, first), (1 - p, second)])
      memory.partner = .combination([(p, second), (1 - p, end)])
      return end
    }
    let second = Tensor.combination([(1 / p, partner), (1 - 1 / p, x)])
    let first = Tensor.combination([(1 / p, x), (1 - 1 / p, second)])
    func undone(_ point: Tensor, _ node: FrameNode) -> Tensor {
      .combination([(a / b, point), (-a / b * down.moment(1) / node.unit, node.quantity)])
    }
    let earlier = undone(second, noise(first))
    memory.partner = earlier
    return undone(first, noise(earlier))
  }
}

extension Solver where Self == EDICT {
  public static var edict: Self { Self() }
}
