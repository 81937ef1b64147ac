import ScorefieldTensorCore

/// The level of noise as a vector: sines and cosines of it, and two layers with SiLU between.
///
/// Source: Ho, Jain & Abbeel 2020, arXiv:2006.11239, appendix B.
public struct NoiseEmbedding: Module {
  private var hidden, last: Linear
  private let features: SinusoidalFeatures

  /// - Parameters:
  ///   - width: The length of the vector.
  ///   - generator: Where the numbers come from.
  public init(_ width: Int, using generator: inout Generator) {
    // For numbers of order 1, such as (log σ)/4 or a time in [0, 1].
    features = SinusoidalFeatures(16, from: 0.5, to: 16)
    hidden = Linear(features.count, width, using: &generator)
    last = Linear(width, width, using: &generator)
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) {
    visitor(&hidden, "hidden")
    visitor(&last, "last")
  }

  /// - Parameter noise: Shape `[B]`.
  /// - Returns: Shape `[B, width]`, in the type of the parameters.
  public func callAsFunction(_ noise: Tensor) -> Tensor {
    last(hidden(features(noise).to(hidden.weight.elementType)).silu())
  }
}
