import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// UniPC, a multistep predictor whose every step is corrected by the evaluation that the next one needs anyway.
///
///     predict:   x̃_s by the polynomial through q(t), q(t₋), …   correct:   x_s by that through q(x̃_s, s), q(t), …
///
/// Both integrate exactly, but for the slope between two estimates, which is weighted by `B(h)/2`. Exact predictor and
/// corrector are the exponential Adams–Bashforth and Adams–Moulton methods.
///
/// - Order: One more than its own number, which the third reaches by single-step starts; else 2, 3 and 3. One denoiser
///   evaluation per step.
///
/// Source: Zhao et al. 2023, arXiv:2302.04867, algorithms 1–2 and 5–6; `B₁` and `B₂` of section 4.1.
public struct UniPC: Solver {
  /// `B(h)`, what the slope between two estimates is weighted by.
  public enum SlopeWeight: Sendable, CaseIterable {
    /// `B₁(h) = h`, "bh1".
    case h
    /// `B₂(h) = e^h − 1`, "bh2".
    case expMinusOne
  }

  /// The order of the predictor, from 1 to 3.
  public let order: Int
  public let frame: Frame
  public let slopeWeight: SlopeWeight
  public let start: MultistepStart

  public init(
    _ order: Int, _ frame: Frame = .data, slopeWeight: SlopeWeight = .expMinusOne, start: MultistepStart = .lowerOrder
  ) {
    guard (1...3).contains(order) else { fatalError("UniPC(\(order)): the predictor's order is 1, 2 or 3") }
    (self.order, self.frame, self.slopeWeight, self.start) = (order, frame, slopeWeight, start)
  }

  /// The last estimates, and the step that is to be corrected.
  public struct Memory: Sendable {
    fileprivate var history = ExponentialAdamsBashforth.Memory()
    fileprivate var begin: (state: Tensor, kernel: PerturbationKernel)?
  }

  public func makeMemory() -> Memory { Memory() }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout Memory
  ) -> Tensor {
    let step = FrameStep(frame, on: field.schedule, from: t, to: s)
    let data = field.denoise(x, at: t)
    guard step.frame.clock(step.now).isFinite else {
      memory = Memory()
      return step.ddim(x, data)
    }
    let node = frame.node(x, data, at: step.now)
    var state = x
    if let begin = memory.begin, begin.kernel.time != t {
      let last = FrameStep(frame, on: field.schedule, from: begin.kernel, to: step.now)
      state = combined(begin.state, last, [node] + memory.history.nodes)
    }
    memory.history.remember(node, keeping: order)
    guard step.isRegular else {
      memory = Memory()
      return step.ddim(state, data)
    }
    if start == .singleStep, memory.history.nodes.count < order {
      return ExponentialRungeKutta.Tableau.ofOrder(order).advance(x, by: step, from: node, in: field)
    }
    memory.begin = (state, step.now)
    return combined(state, step, memory.history.nodes)
  }

  /// The step by the polynomial through some nodes, one of which is its begin.
  private func combined(_ x: Tensor, _ step: FrameStep, _ nodes: [FrameNode]) -> Tensor {
    guard nodes.count == 2 else {
      return step.state(x, step.weights(of: nodes.map(\.kernel), in: .halfLogSNR), nodes)
    }
    // φ₂(−h) h of the slope's exact weight is replaced by B/2.
    let begin = nodes[0].kernel == step.now ? 0 : 1
    let width = (frame.clock(nodes[1 - begin].kernel) - frame.clock(step.now)) / step.h
    let slope = 0.5 * (slopeWeight == .h ? frame.gain(step.next) * step.h : step.moment(1)) / width
    return step.state(x, [step.moment(1) - slope, slope], [nodes[begin], nodes[1 - begin]])
  }
}

extension Solver where Self == UniPC {
  /// UniPC with a predictor of order 1, 2 or 3, in the frame of the data and with `B₂`.
  public static func uniPC(_ order: Int) -> Self { Self(order) }
}
