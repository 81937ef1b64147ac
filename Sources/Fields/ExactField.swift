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

  /// The posterior's moments for several questions, such as the same points at several times.
  ///
  /// The answers are to the last bit those of ``posterior(_:at:along:)``; a field of many points passes over them once for
  /// all questions.
  ///
  /// - Parameter questions: What is asked.
  /// - Returns: The answers, in order.
  func posteriors(_ questions: [FieldQuestion]) -> [PosteriorMoments]
}

extension ExactField {
  public func posteriors(_ questions: [FieldQuestion]) -> [PosteriorMoments] {
    questions.map { posterior($0.x, at: $0.time, along: $0.direction) }
  }

  /// The posterior's moments at a batch of points, without products.
  public func posterior(_ x: Tensor, at t: Double) -> PosteriorMoments { posterior(x, at: t, along: nil) }
}
