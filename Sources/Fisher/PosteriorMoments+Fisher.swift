import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

extension PosteriorMoments {
  /// The trace of the Fisher, in its residual form.
  ///
  ///     tr F = (d − V)/σ²,   V = (α²/σ²) tr C
  ///
  /// - Returns: Shape `[B]`.
  ///
  /// Source: Wang et al. 2025, arXiv:2505.23264, proposition 5, with the covariance centred.
  public var fisherTrace: Tensor {
    kernel.fisherTrace(residual: kernel.covarianceGain * covarianceTrace, dimension: mean.dimension)
  }

  /// The Fisher applied to the direction the moments were taken along.
  ///
  ///     F v = (v − (α²/σ²) C v)/σ²
  ///
  /// - Parameter direction: The same `v`, shape `[B, …]`.
  /// - Returns: Shape `[B, …]`.
  ///
  /// Source: Wang et al. 2025, arXiv:2505.23264, eq. 12, with the covariance centred.
  public func fisherProduct(with direction: Tensor) -> Tensor {
    guard let covarianceProduct else { fatalError("fisherProduct: the moments were taken along no direction") }
    return (direction - kernel.covarianceGain * covarianceProduct) / (kernel.sigma * kernel.sigma)
  }
}

extension PerturbationKernel {
  /// `α²/σ²`, from the covariance of the data to that of the noise.
  fileprivate var covarianceGain: Double { (alpha / sigma) * (alpha / sigma) }
}
