import ScorefieldFields
import ScorefieldTensorCore

/// Annealed Langevin dynamics: Langevin steps at every noise level of a grid, from the largest to the smallest.
///
///     η_ℓ = ε σ_ℓ²/σ_1²,   N times:  x ← x + η_ℓ ∇ log p_ℓ(x) + √(2 η_ℓ) ξ
///
/// Between the levels `x/α` stays as it is. The first step works at both of its levels, so a grid of `L` levels is `L·N`
/// steps. It has no order in the grid: what it misses, it misses by levels too far apart, by `N` and by `ε`.
///
/// - Cost: `N` denoiser evaluations at each level.
///
/// Source: Song & Ermon 2019, arXiv:1907.05600, algorithm 1, whose step of half the score with `√η` has `η` twice ours.
public struct AnnealedLangevin: Solver {
  /// The steps at each level.
  public let dynamics: Langevin
  public let noise: NoiseSource

  public struct Memory: Sendable {
    fileprivate var noise: NoiseStream
    fileprivate var isFirst = true
  }

  /// Steps of any size at every level.
  public init(_ dynamics: Langevin, noise: NoiseSource) { (self.dynamics, self.noise) = (dynamics, noise) }

  /// Steps of `ε σ_ℓ²/σ_1²`.
  ///
  /// - Parameters:
  ///   - stepSize: `ε`, the step at the smallest level.
  ///   - smallest: `σ_1`, the smallest level.
  ///   - count: `N`, the steps at each level.
  ///   - noise: Where the noise comes from.
  public init(stepSize: Double, atNoise smallest: Double, count: Int, noise: NoiseSource) {
    guard smallest > 0 else { fatalError("AnnealedLangevin(atNoise: \(smallest)): the level must be larger than 0") }
    self.init(Langevin(.relative(stepSize / (smallest * smallest)), count: count), noise: noise)
  }

  public func makeMemory() -> Memory { Memory(noise: NoiseStream(noise)) }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout Memory
  ) -> Tensor {
    let start = memory.isFirst ? dynamics(x, at: t, in: field, noise: &memory.noise) : x
    memory.isFirst = false
    let ratio = field.schedule.kernel(at: s).alpha / field.schedule.kernel(at: t).alpha
    return dynamics(ratio == 1 ? start : ratio * start, at: s, in: field, noise: &memory.noise)
  }
}
