import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// The implicit trapezoidal rule, many steps at once: its sums are repeated from what the last round made of the states.
///
///     x_{j+1} ← x_ℓ + Σ_{i ≤ j} ½ (tᵢ₊₁ − tᵢ) (v(xᵢ) + v(xᵢ₊₁)),   i = ℓ, …, j, within a window that slides over the grid
///
/// What it settles to is implicit: no state is final after one round, and steps too long for it never settle.
///
/// - Order: 2. One evaluation more per round than the window is wide.
///
/// Source: Shih et al. 2023, arXiv:2305.16317, section 3, for the iteration; Crank & Nicolson 1947,
///   doi:10.1017/S0305004100023197.
public struct TrapezoidIteration: Sendable {
  /// How many steps are tried at once.
  public let window: Int
  public let tolerance: PicardTolerance
  /// The most rounds.
  public let roundLimit: Int

  public init(window: Int, settling tolerance: PicardTolerance, roundLimit: Int = 10_000) {
    guard window >= 1, roundLimit >= 0 else {
      fatalError("TrapezoidIteration(window: \(window), roundLimit: \(roundLimit)): needs at least one step")
    }
    (self.window, self.tolerance, self.roundLimit) = (window, tolerance, roundLimit)
  }

  /// The state at the end of a grid.
  ///
  /// - Parameters:
  ///   - start: The state at the grid's first time, shape `[B, …]`.
  ///   - grid: The times.
  ///   - model: The denoiser whose probability flow is solved.
  /// - Returns: The state, what it cost, and whether it settled.
  public func integrated(_ start: Tensor, along grid: TimeGrid, in model: any Denoiser) -> PicardIntegration {
    let (times, steps) = (grid.times, grid.steps)
    let counted = CountedDenoiser(model)
    let kernels = model.schedule.kernels(at: times)
    var states = Array(repeating: start, count: Swift.min(window, steps) + 1)
    var (first, rounds) = (0, 0)
    while first < steps, rounds < roundLimit {
      let width = Swift.min(window, steps - first)
      let here = first...(first + width)
      let data = counted.denoise(Array(states[here]), at: Array(times[here]))
      let velocities = here.map { kernels[$0].velocity(states[$0], data[$0 - first]) }
      var found = [states[first]]
      for i in 0..<width {
        let half = 0.5 * (times[first + i + 1] - times[first + i])
        found.append(.combination([(1, found[i]), (half, velocities[i]), (half, velocities[i + 1])]))
      }
      let settled = (1...width).prefix { tolerance.holds(found[$0] - states[first + $0], beside: kernels[first + $0]) }
      states.replaceSubrange(here, with: found)
      // New states begin where the window's last one is.
      states += Array(repeating: states[first + width], count: Swift.min(settled.count, steps - first - width))
      first += settled.count
      rounds += 1
    }
    return PicardIntegration(
      state: states[states.count - 1], rounds: rounds, evaluations: counted.counter.count,
      outcome: first == steps ? .converged : .stepLimit)
  }
}

extension PerturbationKernel {
  /// `v = α̇ x̂₀ + σ̇ (x − α x̂₀)/σ`.
  fileprivate func velocity(_ x: Tensor, _ data: Tensor) -> Tensor {
    let ratio = sigmaRate / sigma
    return .combination([(ratio, x), (alphaRate - ratio * alpha, data)])
  }
}
