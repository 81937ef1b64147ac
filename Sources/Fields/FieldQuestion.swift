import ScorefieldTensorCore

/// What an exact field is asked: points, a time, and directions for products.
public struct FieldQuestion: Sendable {
  /// The points, shape `[B, …]`.
  public let x: Tensor
  public let time: Double
  /// `v` for the products, shape `[B, …]`; no products where left out.
  public let direction: Tensor?

  public init(_ x: Tensor, at time: Double, along direction: Tensor? = nil) {
    (self.x, self.time, self.direction) = (x, time, direction)
  }
}
