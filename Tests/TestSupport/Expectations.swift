import ScorefieldTensorCore
import Testing

/// The largest difference relative to the largest expected value, `max|a − b| / max|b|`; not a number is infinite.
package func relativeError(_ actual: Tensor, _ expected: Tensor) -> Double {
  guard actual.count > 0 else { return 0 }
  let (a, b) = (actual.to(.float64), expected.to(.float64))
  let difference = (a - b).abs().max().item
  let scale = b.abs().max().item
  guard difference == difference, scale == scale else { return .infinity }
  return difference == 0 ? 0 : difference / Swift.max(scale, .leastNormalMagnitude)
}

/// Expects equal shapes and `max|a − b| ≤ tolerance · max|b|`.
package func expectClose(
  _ actual: Tensor, _ expected: Tensor, within tolerance: Double, _ comment: Comment? = nil,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(actual.shape == expected.shape, comment, sourceLocation: sourceLocation)
  guard actual.shape == expected.shape else { return }
  let error = relativeError(actual, expected)
  #expect(error <= tolerance, comment ?? "relative error \(error)", sourceLocation: sourceLocation)
}
