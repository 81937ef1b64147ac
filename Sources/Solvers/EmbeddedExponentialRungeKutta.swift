import ScorefieldFields
import ScorefieldTensorCore

/// An explicit exponential Runge–Kutta method with a second last row, whose distance from the first estimates the error.
///
///     error = gain_s h Σⱼ (bⱼ − b̂ⱼ) (qⱼ − q₀)
public struct EmbeddedExponentialRungeKutta: EmbeddedSolver {
  public typealias Field = any Denoiser

  public let frame: Frame
  public let tableau: ExponentialRungeKutta.Tableau
  /// `b̂`, the last row of the other solution.
  public let otherWeights: [ExponentialRungeKutta.Tableau.Weight]
  public let estimateOrder: Int

  /// What the denoiser said at the state the step starts from.
  public struct Memory: Sendable {
    fileprivate var answer: (time: Double, data: Tensor)?
  }

  /// A method from its tableaux.
  ///
  /// - Parameters:
  ///   - frame: What is interpolated.
  ///   - tableau: The stages, and the last row of the solution that is kept.
  ///   - otherWeights: The last row of the solution it is compared with.
  ///   - estimateOrder: The smaller of the two orders.
  public init(
    _ frame: Frame, _ tableau: ExponentialRungeKutta.Tableau,
    comparedWith otherWeights: [ExponentialRungeKutta.Tableau.Weight], estimateOrder: Int
  ) {
    guard otherWeights.count == tableau.b.count, tableau.stages > 1 else {
      fatalError(
        "EmbeddedExponentialRungeKutta(comparedWith: \(otherWeights.count) weights): needs \(tableau.b.count), and "
          + "more than one stage")
    }
    (self.frame, self.tableau, self.otherWeights) = (frame, tableau, otherWeights)
    self.estimateOrder = estimateOrder
  }

  public func makeMemory() -> Memory { Memory() }

  public func attempt(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout Memory
  ) -> Attempt<Memory> {
    var evaluations = tableau.stages - 1
    let data: Tensor
    if let answer = memory.answer, answer.time == t {
      data = answer.data
    } else {
      data = field.denoise(x, at: t)
      memory.answer = (t, data)
      evaluations += 1
    }
    let step = FrameStep(frame, on: field.schedule, from: t, to: s)
    guard step.isRegular else {
      return Attempt(state: step.ddim(x, data), error: .zeros(like: x), memory: Memory(), evaluations: evaluations)
    }
    let stages = tableau.stages(x, of: step, from: frame.node(x, data, at: step.now), in: field)
    let differences = zip(tableau.differences(step, tableau.b), tableau.differences(step, otherWeights)).map(-)
    let terms = zip([-differences.reduce(0, +)] + differences, stages)
    return Attempt(
      state: step.state(x, tableau.weights(step, tableau.b), stages),
      error: .combination(terms.map { ($0 / $1.unit, $1.quantity) }), memory: Memory(), evaluations: evaluations)
  }
}

extension Solver where Self == EmbeddedExponentialRungeKutta {
  /// DPM-Solver-12, the adaptive pair of DPM-Solver-2 and DPM-Solver-1.
  ///
  /// - Order: 2, with an estimate of order 1. Two denoiser evaluations per step.
  ///
  /// Source: Lu et al. 2022, arXiv:2206.00927, appendix C.
  public static var dpmSolver12: Self {
    Self(.noise, .secondSimplified(0.5), comparedWith: [.zero], estimateOrder: 1)
  }

  /// DPM-Solver-23, the adaptive pair of DPM-Solver-3 and DPM-Solver-2, whose evaluations are the first of the former.
  ///
  /// - Order: 3, with an estimate of order 2. Three denoiser evaluations per step.
  ///
  /// Source: Lu et al. 2022, arXiv:2206.00927, appendix C.
  public static var dpmSolver23: Self {
    Self(.noise, .third(1 / 3, 2 / 3), comparedWith: [.phi1(1.5), .zero], estimateOrder: 2)
  }
}
