import ScorefieldTensorCore

/// One number per point, read off a network's features.
///
/// Features of images are averaged over their pixels first. One hidden layer; it starts at zero.
public struct ScalarHead: Module {
  private var hidden, last: Linear

  /// - Parameters:
  ///   - featureWidth: The number of features.
  ///   - width: Units of the hidden layer; as many as features where not said.
  ///   - generator: Where the numbers come from.
  public init(featureWidth: Int, width: Int? = nil, using generator: inout Generator) {
    let width = width ?? featureWidth
    hidden = Linear(featureWidth, width, using: &generator)
    last = Linear(width, 1, gain: 0, using: &generator)
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) {
    visitor(&hidden, "hidden")
    visitor(&last, "last")
  }

  /// - Parameter features: Shape `[B, featureWidth]` or `[B, featureWidth, H, W]`.
  /// - Returns: Shape `[B]`.
  public func callAsFunction(_ features: Tensor) -> Tensor {
    let pooled = features.rank > 2 ? features.mean(2, 3) : features
    return last(hidden(pooled).silu()).squeezed(1)
  }
}
