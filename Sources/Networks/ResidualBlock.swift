import ScorefieldTensorCore

/// Two convolutions beside a shortcut, the second steered by a vector through a scale and a shift per channel.
///
///     h = conv₁(silu(norm₁(x)))
///     y = skip(x) + conv₂(silu(norm₂(h) (1 + s) + b)),   (s, b) = W e + w
///
/// The second convolution starts at zero, so that a new block hands on its input. The shortcut is a 1×1 convolution where the
/// number of channels changes.
///
/// Source: Ho, Jain & Abbeel 2020, arXiv:2006.11239, appendix B; Dhariwal & Nichol 2021, arXiv:2105.05233, section 3.1.
public struct ResidualBlock: Module {
  private var norm1, norm2: GroupNorm
  private var convolution1, convolution2: Convolution
  private var embedding: Linear
  private var skip: Convolution?

  /// - Parameters:
  ///   - inputs: Channels that go in.
  ///   - outputs: Channels that come out.
  ///   - embeddingWidth: The length of the vector.
  ///   - generator: Where the numbers come from.
  public init(_ inputs: Int, _ outputs: Int, embeddingWidth: Int, using generator: inout Generator) {
    norm1 = GroupNorm(inputs)
    convolution1 = Convolution(inputs, outputs, using: &generator)
    embedding = Linear(embeddingWidth, 2 * outputs, using: &generator)
    norm2 = GroupNorm(outputs)
    convolution2 = Convolution(outputs, outputs, gain: 0, using: &generator)
    skip = inputs == outputs ? nil : Convolution(inputs, outputs, size: 1, using: &generator)
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) {
    visitor(&norm1, "norm1")
    visitor(&convolution1, "convolution1")
    visitor(&embedding, "embedding")
    visitor(&norm2, "norm2")
    visitor(&convolution2, "convolution2")
    visitor(&skip, "skip")
  }

  /// - Parameters:
  ///   - x: Shape `[B, inputs, H, W]`.
  ///   - e: The vector, shape `[B, embeddingWidth]`.
  /// - Returns: Shape `[B, outputs, H, W]`.
  public func callAsFunction(_ x: Tensor, _ e: Tensor) -> Tensor {
    let h = convolution1(norm1(x).silu())
    let steering = embedding(e).expanded(at: 2).expanded(at: 3).split(h.shape[1], 1)
    let steered = norm2(h) * (1 + steering[0]) + steering[1]
    return (skip?(x) ?? x) + convolution2(steered.silu())
  }
}
