import ScorefieldArrays
import ScorefieldTensorCore

/// A function with parameters of a point, the level of its noise, and perhaps a condition.
///
///     F(x, c) = output(features(x, c))
///
/// It comes in two steps, so that another head can read what the first one reads. It knows nothing of diffusion: what goes in
/// is scaled and what comes out is named elsewhere.
public protocol Network: Module {
  /// The number of features: the length of the second axis of what ``features(_:noise:condition:)`` gives.
  var featureWidth: Int { get }

  /// What is known before the last step.
  ///
  /// - Parameters:
  ///   - x: Points, shape `[B, …]`.
  ///   - noise: One number per point that tells how noisy it is, shape `[B]`.
  ///   - condition: What is known of each point, shape `[B, c]`: a vector, or a class as a row of zeros with a one; nil or
  ///     zeros for nothing.
  /// - Returns: Shape `[B, featureWidth]`, or `[B, featureWidth, H, W]` for images.
  func features(_ x: Tensor, noise: Tensor, condition: Tensor?) -> Tensor

  /// The last step.
  ///
  /// - Parameters:
  ///   - features: What ``features(_:noise:condition:)`` gave.
  ///   - x: The points it was given.
  /// - Returns: In the shape of `x`.
  func output(of features: Tensor, like x: Tensor) -> Tensor
}

extension Network {
  /// `F(x, c)`, in the shape of `x`.
  public func callAsFunction(_ x: Tensor, noise: Tensor, condition: Tensor? = nil) -> Tensor {
    output(of: features(x, noise: noise, condition: condition), like: x)
  }

  /// The element type of the parameters.
  public var elementType: ElementType { parameters.first?.elementType ?? .float32 }
}
