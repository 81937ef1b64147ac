import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

// How far the printed form can be from the Fisher of a data set, in Hilbert and Schmidt's norm:
//
//     |δF| ≤ (α²/σ⁴)(Σᵢ wᵢ |yᵢ yᵢᵀ − x₀ x₀ᵀ| + δ (2|ȳ| + δ)) ≤ (α²/σ⁴)(2 D² + δ (2 D + δ)),   |yᵢ|, |x₀| ≤ D
//
// Neither vanishes with training.

extension EndpointFisher {
  /// How far the printed form is at most from the Fisher of a data set, with the posterior's weights.
  ///
  ///     |δF| ≤ (α²/σ⁴)(Σᵢ wᵢ |yᵢ yᵢᵀ − x₀ x₀ᵀ| + δ (2|ȳ| + δ)),
  ///     |y yᵀ − x xᵀ|² = (|y − x|² |y + x|² + (|y|² − |x|²)²)/2
  ///
  /// The first form of the proposition, and the tighter: it vanishes where all of the posterior is the endpoint.
  ///
  /// - Cost: `O(B·N·d)` in one stream over the data; no `d × d` matrix is formed, and nothing cancels.
  /// - Parameters:
  ///   - x: The points, shape `[B, …]`.
  ///   - t: The time.
  ///   - field: The exact field of the data.
  ///   - endpoint: `x₀` of each point, in their shape.
  ///   - meanError: `δ`, by which the denoiser's estimate is off at most.
  /// - Returns: The bound at each point, shape `[B]`.
  ///
  /// Source: Wang et al. 2025, arXiv:2505.23264, proposition 8, derived anew: its statement is incomplete there.
  public static func errorBound(
    at x: Tensor, time t: Double, under field: EmpiricalDenoiser, endpoint: Tensor, meanError: Double = 0
  ) -> Tensor {
    guard x.shape == endpoint.shape else {
      fatalError("EndpointFisher.errorBound(at: \(x.shape)): the endpoints are \(endpoint.shape)")
    }
    let end = endpoint.flattened
    let size = end.squared().sum(-1, keeping: true)
    let apart = field.expectation(at: x, time: t) { points in
      let product = end.distances(to: points) * (-end).distances(to: points)
      let difference = points.squared().sum(-1) - size
      return (0.5 * (product.squared() + difference.squared())).sqrt()
    }
    let mean = field.denoise(x, at: t).flattened.norm(-1)
    return gain(field.schedule.kernel(at: t)) * (apart + meanError * (2 * mean + meanError))
  }

  /// How far the printed form is at most from the Fisher of any data set within a ball.
  ///
  ///     |δF| ≤ (α²/σ⁴)(2 D² + δ (2 D + δ)),   |yᵢ|, |x₀| ≤ D
  ///
  /// The second form of the proposition, and the looser.
  ///
  /// - Parameters:
  ///   - kernel: The noise.
  ///   - radius: `D`, which no data point and no endpoint exceeds in norm.
  ///   - meanError: `δ`, by which the denoiser's estimate is off at most.
  /// - Returns: The bound.
  ///
  /// Source: Wang et al. 2025, arXiv:2505.23264, proposition 8, derived anew: its statement is incomplete there.
  public static func errorBound(_ kernel: PerturbationKernel, radius: Double, meanError: Double = 0) -> Double {
    gain(kernel) * (2 * radius * radius + meanError * (2 * radius + meanError))
  }

  /// `α²/σ⁴`.
  private static func gain(_ kernel: PerturbationKernel) -> Double {
    let root = kernel.alpha / (kernel.sigma * kernel.sigma)
    return root * root
  }
}
