import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// The sampler of EDM: raise the noise a little, then Heun's step of the flow down to the next level.
///
///     k̂ = (1 + γ) k,                       γ = min(S_churn/N, √2 − 1) where S_min ≤ k ≤ S_max, else 0
///     y ← y + √(k̂² − k²) S_noise ξ
///     y_s = y + (k_s − k̂) d,               d = (y − x̂₀(y, k̂))/k̂
///     y_s ← y + (k_s − k̂) ½ (d + d_s)      where k_s > 0
///
/// In `y = x/α` and `k = σ/α`, where every schedule is EDM's. Noise is not raised beyond the schedule's range.
///
/// - Order: 2, with churn in distribution: noise is raised exactly. Two denoiser evaluations per step, one for a last step to `k_s = 0`, which gives `x̂₀`.
///
/// Source: Karras et al. 2022, arXiv:2206.00364, algorithm 2.
public struct StochasticHeun: Solver {
  /// How the noise is raised.
  public struct Churn: Sendable, Equatable {
    /// `S_churn/N`, for each step.
    public let perStep: Double
    /// `S_min` and `S_max`.
    public let range: ClosedRange<Double>
    /// `S_noise`.
    public let noiseScale: Double

    /// The churn of a run.
    ///
    /// - Parameters:
    ///   - total: `S_churn`.
    ///   - steps: `N`.
    ///   - range: `S_min` and `S_max`, values of `σ/α`.
    ///   - noiseScale: `S_noise`.
    public init(_ total: Double, over steps: Int, range: ClosedRange<Double> = 0...(.infinity), noiseScale: Double = 1)
    {
      guard total >= 0, steps >= 1, noiseScale >= 0 else {
        fatalError("Churn(\(total), over: \(steps), noiseScale: \(noiseScale)): needs numbers not below 0, and steps")
      }
      (perStep, self.range, self.noiseScale) = (total / Double(steps), range, noiseScale)
    }

    /// No noise at all.
    public static let none = Churn(0, over: 1)

    /// `γ` at a level.
    func factor(at ratio: Double) -> Double {
      range.contains(ratio) ? Swift.min(perStep, 2.0.squareRoot() - 1) : 0
    }
  }

  public let churn: Churn
  public let noise: NoiseSource

  /// The deterministic method.
  public init() { self.init(.none, noise: .given([])) }

  public init(_ churn: Churn, noise: NoiseSource) { (self.churn, self.noise) = (churn, noise) }

  public func makeMemory() -> NoiseStream { NoiseStream(noise) }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout NoiseStream
  ) -> Tensor {
    let schedule = field.schedule
    var (now, next) = (schedule.kernel(at: t), schedule.kernel(at: s))
    var y = x / now.alpha
    let factor = churn.factor(at: now.noiseToSignal)
    if factor > 0 {
      let last = schedule.kernel(at: schedule.timeRange.upperBound)
      let raised = Swift.min((1 + factor) * now.noiseToSignal, last.noiseToSignal)
      let added = (raised - now.noiseToSignal) * (raised + now.noiseToSignal)
      y += (churn.noiseScale * Swift.max(added, 0).squareRoot()) * memory.draw(like: x)
      now = schedule.kernel(at: schedule.time(atNoiseToSignal: raised))
    }
    func slope(_ y: Tensor, _ kernel: PerturbationKernel) -> Tensor {
      (y - field.denoise(kernel.alpha * y, at: kernel.time)) / kernel.noiseToSignal
    }
    let h = next.noiseToSignal - now.noiseToSignal
    let first = slope(y, now)
    let predicted = y + h * first
    guard next.sigma > 0 else { return next.alpha * predicted }
    return next.alpha * (y + (0.5 * h) * (first + slope(predicted, next)))
  }
}
