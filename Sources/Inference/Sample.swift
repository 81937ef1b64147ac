import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore
import Synchronization

/// What a sampler made.
public struct SampleRun: Sendable {
  /// Shape `[B, …]`.
  public let samples: Tensor
  /// The way there, where it was asked for.
  public let path: Path?
  /// Evaluations of the denoiser, each for the whole batch.
  public let evaluations: Int
  public let outcome: Outcome
  /// Calls of the denoiser that waited for one another, where many steps were tried at once; the last one denoises.
  public let rounds: Int?

  package init(samples: Tensor, path: Path?, evaluations: Int, outcome: Outcome, rounds: Int? = nil) {
    (self.samples, self.path, self.evaluations, self.outcome) = (samples, path, evaluations, outcome)
    self.rounds = rounds
  }

  /// The states of a sampler and what the denoiser made of them.
  public struct Path: Sendable {
    /// `n + 1` times, from the noise to the data.
    public let times: [Double]
    /// The states there, `[n + 1, B, …]`.
    public let states: Tensor
    /// `x̂₀` at all of them but the last, `[n, B, …]`.
    public let denoised: Tensor

    package init(times: [Double], states: Tensor, denoised: Tensor) {
      (self.times, self.states, self.denoised) = (times, states, denoised)
    }
  }
}

/// Samples by a method that asks for the denoiser.
///
/// - Parameters:
///   - model: The denoiser.
///   - start: States at the grid's first time, shape `[B, …]`, such as ``startingNoise(_:at:on:type:device:using:)`` gives.
///   - grid: The times, from the noise to the data.
///   - solver: The method.
///   - finalDenoise: Whether the end is denoised once more, which takes away the noise that is left at the grid's last time.
///   - keepingPath: Whether the states are kept.
/// - Returns: The samples.
public func sample<S: Solver>(
  _ model: any Denoiser, from start: Tensor, along grid: TimeGrid, with solver: S, finalDenoise: Bool = true,
  keepingPath: Bool = false
) -> SampleRun where S.Field == any Denoiser {
  sample(model, start, grid, solver, finalDenoise, keepingPath) { $0 }
}

/// Samples by a method that asks for the velocity of the probability flow.
///
/// - Parameters:
///   - model: The denoiser.
///   - start: States at the grid's first time, shape `[B, …]`, such as ``startingNoise(_:at:on:type:device:using:)`` gives.
///   - grid: The times, from the noise to the data.
///   - solver: The method.
///   - finalDenoise: Whether the end is denoised once more, which takes away the noise that is left at the grid's last time.
///   - keepingPath: Whether the states are kept.
/// - Returns: The samples.
public func sample<S: Solver>(
  _ model: any Denoiser, from start: Tensor, along grid: TimeGrid, with solver: S, finalDenoise: Bool = true,
  keepingPath: Bool = false
) -> SampleRun where S.Field == any VelocityField {
  sample(model, start, grid, solver, finalDenoise, keepingPath) { ProbabilityFlow($0) }
}

private func sample<S: Solver>(
  _ model: any Denoiser, _ start: Tensor, _ grid: TimeGrid, _ solver: S, _ finalDenoise: Bool, _ keepingPath: Bool,
  _ field: (any Denoiser) -> S.Field
) -> SampleRun {
  let counted = CountedDenoiser(model)
  let recorded = RecordedDenoiser(base: counted, times: keepingPath ? grid.times : [])
  var points = Trajectory(from: start, along: grid, with: solver, in: field(recorded)).makeIterator()
  var states: [Tensor] = []
  var denoised: [Tensor] = []
  var state = start
  while let point = points.next() {
    state = point.state
    if keepingPath {
      // The step to this point began with the estimate at the last one, as a rule.
      if let last = states.last { denoised.append(recorded.denoise(last, at: grid.times[states.count - 1])) }
      states.append(state)
    }
  }
  let end = grid.times[grid.times.count - 1]
  // A run that stopped on the way is not at the end's noise level.
  let samples = finalDenoise && points.outcome == .converged ? counted.denoise(state, at: end) : state
  let settled = points.outcome == .converged && !samples.isFinite().all() ? Outcome.notFinite : points.outcome
  return SampleRun(
    samples: samples,
    path: keepingPath
      ? .init(
        times: grid.times, states: .stacked(states),
        denoised: denoised.isEmpty ? .stacked([start])[..<0] : .stacked(denoised)) : nil,
    evaluations: counted.counter.count, outcome: settled)
}

/// A denoiser that remembers its last answer at each of a few times.
private final class RecordedDenoiser: Denoiser {
  private let base: any Denoiser
  private let times: Set<Double>
  private let answers = Mutex<[Double: (x: Tensor, answer: Tensor)]>([:])
  var schedule: any NoiseSchedule { base.schedule }

  init(base: any Denoiser, times: [Double]) { (self.base, self.times) = (base, Set(times)) }

  func denoise(_ x: Tensor, at t: Double) -> Tensor {
    if times.contains(t), let known = answers.withLock({ $0[t] }), known.x.isIdentical(to: x) { return known.answer }
    let answer = base.denoise(x, at: t)
    if times.contains(t) { answers.withLock { $0[t] = (x, answer) } }
    return answer
  }
}
