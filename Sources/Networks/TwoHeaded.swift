import ScorefieldTensorCore

/// A network with a scalar head on its own features: both answers from one evaluation.
public struct TwoHeaded: Module {
  public var trunk: any Network
  public var scalar: ScalarHead

  public init(_ trunk: any Network, scalar: ScalarHead) { (self.trunk, self.scalar) = (trunk, scalar) }

  /// A network with a new head.
  ///
  /// - Parameters:
  ///   - trunk: The network.
  ///   - scalarWidth: Units of the head's hidden layer; none where not said.
  ///   - generator: Where the head's numbers come from.
  public init(_ trunk: any Network, scalarWidth: Int? = nil, using generator: inout Generator) {
    self.init(trunk, scalar: ScalarHead(featureWidth: trunk.featureWidth, width: scalarWidth, using: &generator))
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) {
    visitor(&trunk, "trunk")
    visitor(&scalar, "scalar")
  }

  /// Both answers.
  ///
  /// - Parameters:
  ///   - x: Points, shape `[B, …]`.
  ///   - noise: How noisy they are, shape `[B]`.
  ///   - condition: What is known of them, shape `[B, c]`.
  /// - Returns: The network's output, in the shape of `x`, and the head's, shape `[B]`.
  public func callAsFunction(
    _ x: Tensor, noise: Tensor, condition: Tensor? = nil
  ) -> (output: Tensor, scalar: Tensor) {
    let features = trunk.features(x, noise: noise, condition: condition)
    return (trunk.output(of: features, like: x), scalar(features))
  }

  /// The head's answer alone: the trunk's last step is not taken.
  public func scalar(_ x: Tensor, noise: Tensor, condition: Tensor? = nil) -> Tensor {
    scalar(trunk.features(x, noise: noise, condition: condition))
  }
}
