import ScorefieldTensorCore

/// Every pixel looks at every other, in several heads, beside a shortcut.
///
///     y = x + W softmax(q kᵀ/√d) v,   (q, k, v) = projections(norm(x))
///
/// The last map starts at zero, so that a new layer hands on its input. It can be differentiated twice and in both directions.
///
/// - Cost: `O(B · (HW)² · C)` operations and `O(B · heads · (HW)²)` memory.
///
/// Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2; Ho, Jain & Abbeel 2020, arXiv:2006.11239, appendix B.
public struct SelfAttention: Module {
  private var norm: GroupNorm
  private var projections, last: Convolution
  /// The number of heads.
  public let heads: Int

  /// - Parameters:
  ///   - channels: Channels of the image, divided among the heads.
  ///   - heads: The number of heads.
  ///   - generator: Where the numbers come from.
  public init(_ channels: Int, heads: Int, using generator: inout Generator) {
    guard heads > 0, channels % heads == 0 else {
      fatalError("SelfAttention(\(channels), heads: \(heads)): the heads do not divide the channels")
    }
    self.heads = heads
    norm = GroupNorm(channels)
    projections = Convolution(channels, 3 * channels, size: 1, using: &generator)
    last = Convolution(channels, channels, size: 1, gain: 0, using: &generator)
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) {
    visitor(&norm, "norm")
    visitor(&projections, "projections")
    visitor(&last, "last")
  }

  /// - Parameter x: Shape `[B, channels, H, W]`.
  /// - Returns: In the shape of `x`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    let shape = x.shape
    let (channels, pixels) = (shape[1], shape[2] * shape[3])
    let tokens = projections(norm(x)).split(channels, 1).map {
      $0.reshaped(shape[0], heads, channels / heads, pixels).transposed
    }
    let seen = Tensor.attention(query: tokens[0], key: tokens[1], value: tokens[2])
    return x + last(seen.transposed.reshaped(shape))
  }
}
