import ScorefieldPaths
import ScorefieldTensorCore

extension EmpiricalDenoiser {
  /// Elements of a tile of weights.
  private static let expectationTileSize = 1 << 19

  /// The posterior's mean of a function of the data, by its exact weights.
  ///
  ///     E[f(x₀) | x_t = x] = Σᵢ wᵢ f(yᵢ)
  ///
  /// - Cost: `O(B·N·d)` and what `f` costs, in one stream over the points.
  /// - Parameters:
  ///   - x: The queries, shape `[B, …]`.
  ///   - t: The time.
  ///   - function: `f` of some of the points, `[n, d]`, for each query, `[B, n]`.
  /// - Returns: Shape `[B]`.
  package func expectation(at x: Tensor, time t: Double, of function: (_ points: Tensor) -> Tensor) -> Tensor {
    let kernel = schedule.kernel(at: t)
    let origin = x.flattened / kernel.alpha
    let precision = 1 / (kernel.noiseToSignal * kernel.noiseToSignal)
    // One number per query, which is all that is kept.
    var sums = StreamedMoments(for: .zeros([x.batch, 1], type: x.elementType), along: nil, second: false)
    let step = Swift.max(64, Self.expectationTileSize / Swift.max(x.batch, 1))
    for first in stride(from: 0, to: points.batch, by: step) {
      let range = first..<Swift.min(first + step, points.batch)
      let tile = points[range]
      var logits = origin.distances(to: tile).squared() * (-0.5 * precision)
      if let logWeights { logits += logWeights[range].to(logits.elementType) }
      let weights = sums.admit(logits)
      let mass = weights.sum(-1, keeping: true)
      let mean = (weights * function(tile)).sum(-1, keeping: true) / mass.clamped(StreamedMoments.negligibleMass)
      sums.merge(.init(mass: mass, mean: mean, spread: nil, product: nil))
    }
    return sums.mean.squeezed(1)
  }
}
