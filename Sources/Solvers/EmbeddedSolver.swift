import ScorefieldTensorCore

/// A solver that says how wrong a step may be, so that its size can be chosen; ``Adaptive`` chooses it.
public protocol EmbeddedSolver<Field>: Solver {
  /// The order `q` of the less accurate of the two solutions: the estimate shrinks as `h^{q+1}`.
  var estimateOrder: Int { get }
  /// A step that may be thrown away.
  ///
  /// What is learned about the point itself goes into `memory` and stays; what to remember after the step comes back.
  func attempt(
    _ x: Tensor, from t: Double, to s: Double, in field: Field, memory: inout Memory
  ) -> Attempt<Memory>
}

/// A step that may be thrown away.
public struct Attempt<Memory: Sendable>: Sendable {
  /// The state at the step's end, and the estimate of its error, shape `[B, …]`.
  public let state, error: Tensor
  /// The memory to go on with where the step is taken.
  public let memory: Memory
  /// Evaluations of the field.
  public let evaluations: Int

  public init(state: Tensor, error: Tensor, memory: Memory, evaluations: Int) {
    (self.state, self.error, self.memory, self.evaluations) = (state, error, memory, evaluations)
  }
}

extension EmbeddedSolver {
  /// The step, whatever its error.
  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: Field, memory: inout Memory
  ) -> Tensor {
    let attempt = attempt(x, from: t, to: s, in: field, memory: &memory)
    memory = attempt.memory
    return attempt.state
  }
}
