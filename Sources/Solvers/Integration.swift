import ScorefieldTensorCore

/// What an integration cost.
public struct StepStatistics: Sendable, Equatable {
  /// Steps that were taken.
  public internal(set) var accepted: Int
  /// Steps that were thrown away.
  public internal(set) var rejected = 0
  /// Evaluations of the field.
  public internal(set) var evaluations: Int
  /// Steps that were tried.
  public var attempts: Int { accepted + rejected }

  /// The cost of steps of which none was thrown away.
  public init(accepted: Int = 0, evaluations: Int = 0) { (self.accepted, self.evaluations) = (accepted, evaluations) }
}

/// Where an integration ended, and how.
public struct Integration: Sendable {
  /// The state at `time`, shape `[B, …]`.
  public let state: Tensor
  /// The end that was asked for, or how far the steps came.
  public let time: Double
  public let outcome: Outcome
  public let statistics: StepStatistics

  public init(state: Tensor, time: Double, outcome: Outcome, statistics: StepStatistics) {
    (self.state, self.time, self.outcome, self.statistics) = (state, time, outcome, statistics)
  }
}

/// The state at another time, within a tolerance.
///
/// - Parameters:
///   - start: The state at the time `from`, shape `[B, …]`.
///   - from: The time to start from.
///   - to: The time to reach, later or earlier.
///   - solver: The method.
///   - controller: The tolerance, and how steps follow from it.
///   - field: What is solved.
/// - Returns: The state, how it ended and what it cost.
public func integrate<S: EmbeddedSolver>(
  _ start: Tensor, from: Double, to: Double, with solver: S, controller: StepController = StepController(),
  in field: S.Field
) -> Integration {
  let adaptive = Adaptive(solver, controller)
  var memory = adaptive.makeMemory()
  let state = adaptive.step(start, from: from, to: to, in: field, memory: &memory)
  return Integration(
    state: state, time: memory.time ?? from, outcome: memory.outcome, statistics: memory.statistics)
}
