import ScorefieldTensorCore

/// One number per point, read off a network's features.
///
/// Features of images are averaged over their pixels first. It starts at zero.
///
/// - Cost: Without a hidden layer next to nothing beside the network whose features it reads.
public struct ScalarHead: Module {
  /// Nil where the number is linear in the features.
  private var hidden: Linear?
  private var last: Linear

  /// - Parameters:
  ///   - featureWidth: The number of features.
  ///   - width: Units of a hidden layer; none where not said.
  ///   - generator: Where the numbers come from.
  public init(featureWidth: Int, width: Int? = nil, using generator: inout Generator) {
    hidden = width.map { Linear(featureWidth, $0, using: &generator) }
    last = Linear(width ?? featureWidth, 1, gain: 0, using: &generator)
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) {
    visitor(&hidden, "hidden")
    visitor(&last, "last")
  }

  /// - Parameter features: Shape `[B, featureWidth]` or `[B, featureWidth, H, W]`.
  /// - Returns: Shape `[B]`.
  public func callAsFunction(_ features: Tensor) -> Tensor {
    let pooled = features.pooledFeatures
    return last(hidden.map { $0(pooled).silu() } ?? pooled).squeezed(1)
  }
}

extension Tensor {
  /// Features of points as they are, of images their mean over the pixels, `[B, featureWidth]`.
  package var pooledFeatures: Tensor { rank > 2 ? mean(2, 3) : self }
}
