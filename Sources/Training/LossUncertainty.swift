import ScorefieldArrays
import ScorefieldNetworks
import ScorefieldTensorCore

/// A small network that learns how large a loss is at each noise level: `u(t) → log E[L | t]`.
///
/// One hidden layer on the features of the noise; it starts at zero.
///
/// Source: Karras et al. 2024, arXiv:2312.02696, appendix B.2, with a hidden layer.
public struct LossUncertainty: Module {
  private let features = SinusoidalFeatures(4, from: 0.25, to: 2)
  private var head: ScalarHead

  /// - Parameters:
  ///   - width: Units of the hidden layer.
  ///   - generator: Where the numbers come from.
  public init(width: Int = 64, using generator: inout Generator) {
    head = ScalarHead(featureWidth: features.count, width: width, using: &generator)
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) { visitor(&head, "head") }

  /// - Parameter noise: `log(σ/α)`, shape `[B]`.
  /// - Returns: `u`, shape `[B]`.
  public func callAsFunction(_ noise: Tensor) -> Tensor { head(features(noise).to(parameters[0].elementType)) }
}
