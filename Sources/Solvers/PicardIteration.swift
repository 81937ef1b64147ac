import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// Many steps of any solver at once: all are repeated from what the last round made of their begins, until they settle.
///
///     x_{j+1} ← x_ℓ + Σ_{i ≤ j} (Φᵢ(xᵢ) − xᵢ),   i = ℓ, …, j, within a window that slides over the grid
///
/// Every round is one call of the denoiser for the whole window, and makes at least one more state final: there are never
/// more rounds than steps, and with the tolerance 0 the end is the sequential one, bit for bit. What a multistep method
/// remembers comes from the last round too.
///
///     for round in PicardIteration(from: noise, along: grid, with: .ddim, in: model, window: 16, settling: .squaredDistance(1e-6)) {
///       print(round.first, round.evaluations)
///     }
///
/// - Cost: As many denoiser evaluations per round as the window is wide, side by side; more memory by that factor.
///
/// Source: Shih et al. 2023, arXiv:2305.16317, algorithm 1.
public struct PicardIteration<S: Solver>: Sequence {
  public let start: Tensor
  public let grid: TimeGrid
  public let solver: S
  public let model: any Denoiser
  /// How many steps are tried at once.
  public let window: Int
  public let tolerance: PicardTolerance
  private let field: @Sendable (any Denoiser) -> S.Field

  private init(
    _ start: Tensor, _ grid: TimeGrid, _ solver: S, _ model: any Denoiser, _ window: Int, _ tolerance: PicardTolerance,
    _ field: @escaping @Sendable (any Denoiser) -> S.Field
  ) {
    guard window >= 1 else { fatalError("PicardIteration(window: \(window)): needs at least one step") }
    (self.start, self.grid, self.solver, self.model) = (start, grid, solver, model)
    (self.window, self.tolerance, self.field) = (window, tolerance, field)
  }

  /// The iteration of a method that asks for the denoiser.
  ///
  /// - Parameters:
  ///   - start: The state at the grid's first time, shape `[B, …]`.
  ///   - grid: The times.
  ///   - solver: The method.
  ///   - model: The denoiser.
  ///   - window: How many steps are tried at once.
  ///   - tolerance: When a state has settled.
  public init(
    from start: Tensor, along grid: TimeGrid, with solver: S, in model: any Denoiser, window: Int,
    settling tolerance: PicardTolerance
  ) where S.Field == any Denoiser {
    self.init(start, grid, solver, model, window, tolerance) { $0 }
  }

  /// The iteration of a method that asks for the velocity of the probability flow.
  ///
  /// - Parameters:
  ///   - start: The state at the grid's first time, shape `[B, …]`.
  ///   - grid: The times.
  ///   - solver: The method.
  ///   - model: The denoiser.
  ///   - window: How many steps are tried at once.
  ///   - tolerance: When a state has settled.
  public init(
    from start: Tensor, along grid: TimeGrid, with solver: S, in model: any Denoiser, window: Int,
    settling tolerance: PicardTolerance
  ) where S.Field == any VelocityField {
    self.init(start, grid, solver, model, window, tolerance) { ProbabilityFlow($0) }
  }

  /// What one round made.
  public struct Round: Sendable {
    /// The index of the window's first state, which was final before.
    public let first: Int
    /// How many states after it are final now.
    public let settled: Int
    /// The window's states, the first among them.
    public let states: [Tensor]
    /// Evaluations of the denoiser, each for a whole batch.
    public let evaluations: Int
  }

  public func makeIterator() -> Iterator { Iterator(self) }

  public struct Iterator: IteratorProtocol {
    private let iteration: PicardIteration
    private var first = 0
    /// All states so far; those beyond the window are not there yet.
    private var states: [Tensor]
    private var memory: S.Memory

    fileprivate init(_ iteration: PicardIteration) {
      self.iteration = iteration
      memory = iteration.solver.makeMemory()
      let count = Swift.min(iteration.window, iteration.grid.steps)
      states = Array(repeating: iteration.start, count: count + 1)
    }

    public mutating func next() -> Round? {
      let (times, steps) = (iteration.grid.times, iteration.grid.steps)
      guard first < steps else { return nil }
      let width = Swift.min(iteration.window, steps - first)
      let begins = Array(states[first..<(first + width)])
      let counted = CountedDenoiser(iteration.model)
      let answers = counted.denoise(begins, at: Array(times[first..<(first + width)]))

      var memories = [memory]
      var found = [states[first]]
      for (i, begin) in begins.enumerated() {
        let (t, s) = (times[first + i], times[first + i + 1])
        let known = KnownAnswer(base: counted, x: begin, time: t, answer: answers[i])
        var memory = memories[i]
        let end = iteration.solver.step(begin, from: t, to: s, in: iteration.field(known), memory: &memory)
        memories.append(memory)
        // The sum of increments, so written that states which no longer change give the step's own bits.
        found.append(i == 0 ? end : end + (found[i] - begin))
      }

      let settled =
        (1..<width).first { j in
          let kernel = iteration.model.schedule.kernel(at: times[first + j])
          return !iteration.tolerance.holds(found[j] - states[first + j], beside: kernel)
        } ?? width
      states.replaceSubrange(first..., with: found)
      // New states begin where the window's last one is.
      let missing = Swift.min(settled, steps - first - width)
      states += Array(repeating: states[first + width], count: missing)
      memory = memories[settled]
      defer { first += settled }
      return Round(first: first, settled: settled, states: found, evaluations: counted.counter.count)
    }
  }
}

/// A denoiser whose answer to one question is known.
private struct KnownAnswer: Denoiser {
  let base: any Denoiser
  let x: Tensor
  let time: Double
  let answer: Tensor
  var schedule: any NoiseSchedule { base.schedule }

  func denoise(_ x: Tensor, at t: Double) -> Tensor {
    t == time && x.isIdentical(to: self.x) ? answer : base.denoise(x, at: t)
  }
}

/// Where a ``PicardIteration`` ended and what it cost.
public struct PicardIntegration: Sendable {
  /// The state at the grid's last time, shape `[B, …]`.
  public let state: Tensor
  /// Rounds, each of which waited for one call of the denoiser.
  public let rounds: Int
  /// Evaluations of the denoiser, each for a whole batch.
  public let evaluations: Int
  /// Whether the states settled within the rounds that were allowed.
  public var outcome = Outcome.converged
}

extension PicardIteration {
  /// Runs all rounds.
  public func integrated() -> PicardIntegration {
    var (state, rounds, evaluations) = (start, 0, 0)
    for round in self {
      state = round.states[round.states.count - 1]
      rounds += 1
      evaluations += round.evaluations
    }
    return PicardIntegration(state: state, rounds: rounds, evaluations: evaluations)
  }
}
