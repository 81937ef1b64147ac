import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// A solver that divides each step as its tolerance demands.
///
/// The steps of a grid are then only where the state is looked at. Where the numbers do not settle, the memory's outcome
/// says so and the state stays where it was; further steps do nothing.
public struct Adaptive<Base: EmbeddedSolver>: Solver {
  public typealias Field = Base.Field
  public let base: Base
  public let controller: StepController
  /// The variable in which steps have their sizes.
  public let clock: Clock
  private let schedule: @Sendable (Base.Field) -> (any NoiseSchedule)?

  /// The solver whose steps have their sizes in time.
  public init(_ base: Base, _ controller: StepController = StepController()) {
    (self.base, self.controller, clock) = (base, controller, .time)
    schedule = { _ in nil }
  }

  /// The solver whose steps have their sizes in another variable, as those of DPM-Solver in `λ`.
  public init(_ base: Base, _ controller: StepController = StepController(), in clock: Clock)
  where Base.Field == any Denoiser {
    (self.base, self.controller, self.clock) = (base, controller, clock)
    schedule = { $0.schedule }
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
    /// The less accurate state of the last step that was taken.
    fileprivate var previousState: Tensor?
  }

  public func makeMemory() -> Memory { Memory(base: base.makeMemory()) }
  public func outcome(_ memory: Memory) -> Outcome { memory.outcome }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: Base.Field, memory: inout Memory
  ) -> Tensor {
    guard memory.outcome == .converged else { return x }
    let schedule = schedule(field)
    func place(_ time: Double) -> Double { schedule.map { clock.value($0.kernel(at: time)) } ?? time }
    let (begin, end) = (place(t), place(s))
    guard begin.isFinite, end.isFinite else {
      // From noise alone, or to data alone, there is one step, and nothing to compare it with.
      memory.time = s
      let attempt = base.attempt(x, from: t, to: s, in: field, memory: &memory.base)
      (memory.base, memory.previousState) = (attempt.memory, nil)
      memory.statistics.evaluations += attempt.evaluations
      memory.statistics.accepted += 1
      return attempt.state
    }
    let span = end - begin
    // The last size carries over from one interval of a grid to the next.
    var size = memory.size ?? controller.firstLength ?? abs(span) * controller.firstStep
    var (now, time, state) = (begin, t, x)
    var finite = true
    memory.time = t

    while time != s {
      guard memory.statistics.attempts < controller.stepLimit else {
        memory.outcome = .stepLimit
        return state
      }
      let remaining = abs(end - now)
      let last = size >= remaining * (1 - 1e-6)
      // What is left after a step is either nothing or at least as long: no sliver at the end. Published sizes stay.
      let length = last ? remaining : controller.rule == .proportional ? size : min(size, remaining / 2)
      // Steps of a few roundings of the clock lead nowhere, or past a pole.
      guard last || length > 1e-14 * max(abs(now), abs(span)) else {
        memory.outcome = finite ? .stepLimit : .notFinite
        return state
      }
      let next = now + (span < 0 ? -length : length)
      let nextTime =
        last ? s : schedule.map { clock.time(at: next, on: $0) } ?? next

      let attempt = base.attempt(state, from: time, to: nextTime, in: field, memory: &memory.base)
      memory.statistics.evaluations += attempt.evaluations
      let lower = controller.rule == .proportional ? attempt.state - attempt.error : attempt.state
      let error = controller.size(of: attempt.error, from: memory.previousState ?? state, to: lower)
      // An infinite state can have an error that looks small, beside itself.
      finite = error.isFinite && attempt.state.isFinite().all()
      let factor = controller.factor(
        after: finite ? error : .infinity, previous: memory.previousError, order: base.estimateOrder + 1)

      if finite && error <= 1 {
        memory.statistics.accepted += 1
        memory.base = attempt.memory
        memory.previousError = error
        if controller.rule == .proportional { memory.previousState = lower }
        // A step cut short says little about how long the next one may be.
        size = length < size ? max(size, length * factor) : length * factor
        (now, time, state) = (next, nextTime, attempt.state)
        memory.time = time
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
