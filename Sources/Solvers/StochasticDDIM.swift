import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// The family of DDIM: every step that keeps the noise level right, whatever share of the noise is fresh.
///
///     x_s = α_s x̂₀ + √(σ_s² − c²) ε̂ + c ξ,   0 ≤ c ≤ σ_s
///
/// With `c = η σ_{t|s} σ_s/σ_t` it runs from ``DDIM`` (`η = 0`) to the ancestral sampler (`η = 1`).
///
/// - Order: 1, in distribution. One denoiser evaluation per step.
///
/// Source: Song, Meng & Ermon 2021, arXiv:2010.02502, eq. 12 and 16.
public struct StochasticDDIM: Solver {
  /// `c`, from the level that is left and the one that is reached.
  public let deviation: @Sendable (_ now: PerturbationKernel, _ next: PerturbationKernel) -> Double
  public let noise: NoiseSource

  /// The member of a share `η` of the ancestral sampler's noise.
  public init(eta: Double, noise: NoiseSource) {
    guard eta >= 0, eta.isFinite else { fatalError("StochasticDDIM(eta: \(eta)): η must be 0 or more") }
    self.init(noise: noise) { now, next in eta * now.posteriorDeviation(to: next) }
  }

  /// The member of any `c`, between 0 and `σ_s`.
  public init(
    noise: NoiseSource, deviation: @escaping @Sendable (_ now: PerturbationKernel, _ next: PerturbationKernel) -> Double
  ) {
    (self.noise, self.deviation) = (noise, deviation)
  }

  /// The largest `η` with which every step of a grid keeps the noise level right: the least `σ_t/σ_{t|s}`, at least 1.
  public static func largestEta(along grid: TimeGrid, on schedule: any NoiseSchedule) -> Double {
    zip(grid.times, grid.times.dropFirst()).map { t, s in
      let (now, next) = (schedule.kernel(at: t), schedule.kernel(at: s))
      let fresh = now.posteriorDeviation(to: next)
      return fresh == 0 ? .infinity : next.sigma / fresh
    }.min() ?? .infinity
  }

  public func makeMemory() -> NoiseStream { NoiseStream(noise) }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout NoiseStream
  ) -> Tensor {
    let (now, next) = (field.schedule.kernel(at: t), field.schedule.kernel(at: s))
    let fresh = deviation(now, next)
    guard fresh >= 0, fresh <= next.sigma * (1 + 1e-12) else {
      fatalError("StochasticDDIM.step(from: \(t), to: \(s)): c = \(fresh) is not between 0 and σ = \(next.sigma)")
    }
    let data = field.denoise(x, at: t)
    let kept = Swift.max((next.sigma - fresh) * (next.sigma + fresh), 0).squareRoot()
    let mean = next.alpha * data + (kept / now.sigma) * (x - now.alpha * data)
    return fresh == 0 ? mean : mean + fresh * memory.draw(like: x)
  }
}
