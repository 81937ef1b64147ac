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

  /// How far each sample would have to move for its loss to be gone, if it went on falling as it does there, shape `[B]`.
  ///
  ///     |L|/|∂L/∂x|
  ///
  /// Source: Polyak 1969, doi:10.1016/0041-5553(69)90035-4, for the step of that length.
  public var distance: Tensor { loss.abs() / gradient.flattened.norm(-1).clamped(1e-30) }
}
