import ScorefieldPaths
import ScorefieldTensorCore

/// A denoiser that is no estimate: the data's distribution is known, and with it the whole posterior of the data.
public protocol ExactField: Denoiser {
  /// The posterior's moments at a batch of points.
  ///
  /// - Parameters:
  ///   - x: The points, shape `[B, …]`.
  ///   - t: The time.
  ///   - direction: `v` for the products `C v` and `∇² log q_t v`, shape `[B, …]`; no products where left out.
  /// - Returns: Density, mean, score, and the traces and products of the covariance and of `∇² log q_t`.
  func posterior(_ x: Tensor, at t: Double, along direction: Tensor?) -> PosteriorMoments
}

extension ExactField {
  /// The posterior's moments at a batch of points, without products.
  public func posterior(_ x: Tensor, at t: Double) -> PosteriorMoments { posterior(x, at: t, along: nil) }
}
