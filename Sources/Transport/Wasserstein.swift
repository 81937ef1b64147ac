import ScorefieldTensorCore

/// The distance between two clouds of points in Wasserstein's metric of order 2.
///
///     W₂² = min over plans of Σ |xᵢ − yⱼ|² γᵢⱼ
///
/// - Cost: That of ``optimalTransport(_:from:to:maximumPivots:)``, or of ``optimalTransportOnLine(_:_:power:from:to:)`` for
///   points on a line.
/// - Parameters:
///   - x: One cloud, shape `[n, …]`.
///   - y: The other, shape `[m, …]`.
///   - a: Weights of the one, shape `[n]`, not negative and not all zero; equal where left out.
///   - b: Weights of the other, shape `[m]`; both are scaled to sum to 1.
/// - Returns: `W₂`, in units of the points.
///
/// Source: Peyré & Cuturi 2019, arXiv:1803.00567, proposition 2.3.
public func wassersteinDistance(_ x: Tensor, _ y: Tensor, from a: Tensor? = nil, to b: Tensor? = nil) -> Double {
  let onLine = x.count == x.batch && y.count == y.batch
  let plan =
    onLine
    ? optimalTransportOnLine(x.reshaped(-1), y.reshaped(-1), from: a, to: b)
    : optimalTransport(squaredCost(x, y), from: a, to: b)
  return max(plan.value, 0).squareRoot()
}
