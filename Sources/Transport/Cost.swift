import ScorefieldTensorCore

/// What it costs to carry every point of one cloud to every point of another.
///
///     Cᵢⱼ = |xᵢ − yⱼ|²
///
/// - Cost: `O(n·m·d)`; explicit differences, so that nothing cancels.
/// - Parameters:
///   - x: The points to carry, shape `[n, …]`.
///   - y: The places to carry them to, shape `[m, …]`.
/// - Returns: Shape `[n, m]`, `float64`.
public func squaredCost(_ x: Tensor, _ y: Tensor) -> Tensor {
  let (x, y) = (x.to(.float64).flattened, y.to(.float64).flattened)
  guard x.shape[1] == y.shape[1] else {
    fatalError("squaredCost(\(x.shape), \(y.shape)): the points have different dimensions")
  }
  return x.distances(to: y).squared()
}
