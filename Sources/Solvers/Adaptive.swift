import ScorefieldTensorCore

/// A solver that divides each step as its tolerance demands.
///
/// The steps of a grid are then only where the state is looked at. Where the numbers do not settle, the memory's outcome
/// says so and the state stays where it was; further steps do nothing.
public struct Adaptive<Base: EmbeddedSolver>: Solver {
  public typealias Field = Base.Field
  public let base: Base
  public let controller: StepController

  public init(_ base: Base, _ controller: StepController = StepController()) {
    (self.base, self.controller) = (base, controller)
  }

  /// What has been done, and what the next step starts with.
  public struct Memory: Sendable {
    public fileprivate(set) var statistics = StepStatistics()
    public fileprivate(set) var outcome = Outcome.converged
    /// How far the state has come; the target where all is well.
    public fileprivate(set) var time: Double?
    fileprivate var base: Base.Memory
    fileprivate var size: Double?
    fileprivate var previousError: Double?
  }

  public func makeMemory() -> Memory { Memory(base: base.makeMemory()) }
  public func outcome(_ memory: Memory) -> Outcome { memory.outcome }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: Base.Field, memory: inout Memory
  ) -> Tensor {
    guard memory.outcome == .converged else { return x }
    let span = s - t
    // The last size carries over from one interval of a grid to the next.
    var size = memory.size ?? abs(span) * controller.firstStep
    var (now, state) = (t, x)
    var finite = true
    memory.time = t

    while now != s {
      guard memory.statistics.attempts < controller.stepLimit else {
        memory.outcome = .stepLimit
        return state
      }
      // What is left after a step is either nothing or at least as long: no sliver at the end.
      let remaining = abs(s - now)
      let last = size >= remaining * (1 - 1e-6)
      let length = last ? remaining : min(size, remaining / 2)
      // Steps of a few roundings of the clock lead nowhere, or past a pole.
      guard last || length > 1e-14 * max(abs(now), abs(span)) else {
        memory.outcome = finite ? .stepLimit : .notFinite
        return state
      }
      let next = last ? s : now + (span < 0 ? -length : length)

      let attempt = base.attempt(state, from: now, to: next, in: field, memory: &memory.base)
      memory.statistics.evaluations += attempt.evaluations
      let error = controller.size(of: attempt.error, from: state, to: attempt.state)
      // An infinite state can have an error that looks small, beside itself.
      finite = error.isFinite && attempt.state.isFinite().all()
      let factor = controller.factor(
        after: finite ? error : .infinity, previous: memory.previousError, order: base.estimateOrder + 1)

      if finite && error <= 1 {
        memory.statistics.accepted += 1
        memory.base = attempt.memory
        memory.previousError = error
        // A step cut short says little about how long the next one may be.
        size = length < size ? max(size, length * factor) : length * factor
        (now, state) = (next, attempt.state)
        memory.time = now
      } else {
        memory.statistics.rejected += 1
        memory.previousError = nil
        size = length * factor
      }
    }
    memory.size = size
    return state
  }
}
