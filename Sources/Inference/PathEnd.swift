import ScorefieldTensorCore

/// Where a path led, and what a loss says there: what the products on the way back may stand on.
public struct PathEnd: Sendable {
  /// Shape `[B, …]`.
  public let endpoint: Tensor
  /// The loss of each sample, shape `[B]`.
  public let loss: Tensor
  /// `∂L/∂x` at the end, shape `[B, …]`.
  public let gradient: Tensor

  public init(endpoint: Tensor, loss: Tensor, gradient: Tensor) {
    (self.endpoint, self.loss, self.gradient) = (endpoint, loss, gradient)
  }

  /// The end, with its loss and the loss's gradient.
  ///
  /// - Parameters:
  ///   - endpoint: Shape `[B, …]`.
  ///   - operation: Who asks, for the words of a loss that has another shape than `[B]`.
  ///   - loss: The loss of each sample, differentiable.
  /// - Throws: What the loss throws.
  package init<E: Error>(
    at endpoint: Tensor, for operation: String, of loss: (Tensor) throws(E) -> Tensor
  ) throws(E) {
    let (losses, pullback) = try vjp(at: endpoint) { end throws(E) in try loss(end) }
    guard losses.shape == [endpoint.batch] else {
      fatalError(
        "\(operation)(of: loss): the loss has shape \(losses.shape); needs one number per sample, [\(endpoint.batch)]")
    }
    self.init(endpoint: endpoint, loss: losses, gradient: pullback(.ones(like: losses)))
  }

  /// How far each sample would have to move for its loss to be gone, if it went on falling as it does there, shape `[B]`; 0 where
  /// that is no number.
  ///
  ///     |L|/|∂L/∂x|
  ///
  /// Source: Polyak 1969, doi:10.1016/0041-5553(69)90035-4, for the step of that length.
  public var distance: Tensor {
    (loss.abs() / gradient.flattened.norm(-1).clamped(1e-30)).replacing(with: 0, where: .!isFinite)
  }

  /// Which samples' loss and gradient are numbers, `bool` of shape `[B]`.
  public var isFinite: Tensor { loss.isFinite() .& gradient.flattened.isFinite().all(-1) }
}
