import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

extension PosteriorMoments {
  /// The trace of the Fisher.
  ///
  ///     tr F = −Δ log q_t = (d − V)/σ²,   V = (α²/σ²) tr C
  ///
  /// `V` is the mean squared error of the best guess of the noise, between 0 and about `d`: nothing is amplified.
  ///
  /// - Returns: Shape `[B]`.
  ///
  /// Source: Wang et al. 2025, arXiv:2505.23264, proposition 5, with the covariance centred.
  public var fisherTrace: Tensor { -laplacian }

  /// The Fisher applied to the direction the moments were taken along.
  ///
  ///     F v = −∇² log q_t v = (v − (α²/σ²) C v)/σ²
  ///
  /// - Parameter direction: The same `v`, shape `[B, …]`.
  /// - Returns: Shape `[B, …]`.
  ///
  /// Source: Wang et al. 2025, arXiv:2505.23264, eq. 12, with the covariance centred.
  public func fisherProduct(with direction: Tensor) -> Tensor {
    guard let hessianProduct, hessianProduct.shape == direction.shape else {
      fatalError("fisherProduct(with: \(direction.shape)): the moments were taken along no such direction")
    }
    return -hessianProduct
  }
}
