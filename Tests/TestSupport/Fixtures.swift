import Scorefield

/// The distributions of which the specification knows every truth (`Spec: B0.4`).
package enum Fixture {
  /// A Gaussian in one dimension.
  package static func gauss1D() throws -> GaussianMixture {
    try .init(means: Tensor(rows: [[0.7]]), standardDeviations: Tensor([1.3]))
  }
  /// A Gaussian in three dimensions, its axes askew.
  package static func gauss3D() throws -> GaussianMixture {
    let covariance = Tensor(rows: [[1, 0.3, 0], [0.3, 0.8, -0.2], [0, -0.2, 0.5]])
    return try .init(means: Tensor(rows: [[0.5, -1, 2]]), covariances: covariance.expanded(at: 0))
  }
  /// Two Gaussians on a line.
  package static func mixture1D() throws -> GaussianMixture {
    try .init(
      weights: Tensor([0.3, 0.7]), means: Tensor(rows: [[-2], [1.5]]), standardDeviations: Tensor([0.4, 0.6]))
  }
  /// Three round Gaussians in a plane.
  package static func mixture2D() throws -> GaussianMixture {
    try .init(
      weights: Tensor([0.5, 0.3, 0.2]), means: Tensor(rows: [[-2, 0], [2, 1], [0, -2]]),
      standardDeviations: Tensor([0.3, 0.5, 0.4]))
  }
  /// Five points in a plane.
  package static let points = Tensor(rows: [[0, 0], [1, 0], [0, 1], [-1, 2], [2, -1]])
}
