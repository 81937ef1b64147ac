import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// Langevin dynamics at one noise level: steps along the score, with noise, that have its density as their limit.
///
///     x ← x + η ∇ log p_t(x) + √(2η) ξ
///
/// Without a correction the limit is off by `O(η)`: a Gaussian of variance `s²` gets `s²/(1 − η/2s²)`.
///
/// - Cost: One denoiser evaluation per step.
///
/// Source: Roberts & Tweedie 1996, doi:10.2307/3318418, section 1.4.1, the unadjusted algorithm.
public struct Langevin: Sendable {
  /// `η`.
  public enum StepSize: Sendable {
    /// The same at every level.
    case fixed(Double)
    /// A multiple of `σ_t²`, the same part of the way at every level.
    case relative(Double)
    /// `2 α²_t (r ‖ξ‖/‖∇ log p_t‖)²`, so that noise and score stand in the ratio `r`; for each sample by itself.
    ///
    /// Source: Song et al. 2021, arXiv:2011.13456, algorithms 4 and 5, where both norms are averaged over the batch.
    case signalToNoise(Double)
  }

  public let stepSize: StepSize
  /// Steps at a time.
  public let count: Int

  public init(_ stepSize: StepSize, count: Int = 1) {
    let size =
      switch stepSize {
      case .fixed(let size), .relative(let size), .signalToNoise(let size): size
      }
    guard size > 0, size.isFinite, count >= 0 else {
      fatalError("Langevin(\(stepSize), count: \(count)): needs a step larger than 0 and a number of steps")
    }
    (self.stepSize, self.count) = (stepSize, count)
  }

  /// The state after the steps, at the same time.
  public func callAsFunction(
    _ x: Tensor, at t: Double, in field: any Denoiser, noise: inout NoiseStream
  ) -> Tensor {
    let kernel = field.schedule.kernel(at: t)
    return (0..<count).reduce(x) { x, _ in
      let score = (kernel.alpha * field.denoise(x, at: t) - x) / (kernel.sigma * kernel.sigma)
      let draw = noise.draw(like: x)
      switch stepSize {
      case .fixed(let size): return x + size * score + (2 * size).squareRoot() * draw
      case .relative(let share):
        let size = share * kernel.sigma * kernel.sigma
        return x + size * score + (2 * size).squareRoot() * draw
      case .signalToNoise(let ratio):
        let root = (ratio * kernel.alpha) * (norms(draw.broadcast(to: x.shape)) / norms(score))
        return x + 2 * root.squared() * score + 2 * root * draw
      }
    }
  }

  /// `‖x‖` of each sample, shape `[B, 1, …]`.
  private func norms(_ x: Tensor) -> Tensor {
    x.reshaped([x.shape[0], -1]).norm(1).reshaped([x.shape[0]] + x.shape.dropFirst().map { _ in 1 })
  }
}
