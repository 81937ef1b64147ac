import ScorefieldTensorCore

/// A way from one time to another: one step of a numerical method.
///
/// A solver is a value without state. What a method remembers from step to step is its ``Memory``, which it makes and the
/// caller owns; one memory belongs to one trajectory. Time may run either way.
public protocol Solver<Field>: Sendable {
  /// What is solved: `any VelocityField`, `any Denoiser`, …
  associatedtype Field
  associatedtype Memory: Sendable = NoMemory
  /// The memory before the first step.
  func makeMemory() -> Memory
  /// The state at time `s`, shape `[B, …]`, from that at time `t`.
  func step(_ x: Tensor, from t: Double, to s: Double, in field: Field, memory: inout Memory) -> Tensor
  /// How the steps so far went, as far as the method judges itself; fixed steps never complain.
  func outcome(_ memory: Memory) -> Outcome
}

extension Solver {
  public func outcome(_ memory: Memory) -> Outcome { .converged }
}

/// The memory of a method that has none.
public struct NoMemory: Sendable {
  public init() {}
}

extension Solver where Memory == NoMemory {
  public func makeMemory() -> NoMemory { NoMemory() }
}

/// Whether the numbers settled.
public enum Outcome: String, Sendable, Codable {
  /// The end was reached within the tolerances, where there are any.
  case converged
  /// The steps that were allowed did not suffice, or would have been too small for the clock.
  case stepLimit
  /// A number became infinite or no number at all, however small the step.
  case notFinite
}
