import ScorefieldTensorCore

extension UNet {
  /// The blocks at one size of the image, on the way down or up.
  struct Level: Module {
    /// From the level before, whose channels it changes to this one's.
    private(set) var enter: Convolution?
    private(set) var blocks: [ResidualBlock]
    /// As many as blocks, or none.
    private var attention: [SelfAttention]

    init(
      _ index: Int, in configuration: Configuration, enter: Convolution?, inputs: Int, blocks count: Int,
      using generator: inout Generator
    ) {
      let (width, embedding) = (configuration.widths[index], configuration.embeddingWidth)
      self.enter = enter
      blocks = (0..<count).map { _ in
        ResidualBlock(inputs, width, embeddingWidth: embedding, using: &generator)
      }
      attention = (0..<(configuration.attention.contains(index) ? count : 0)).map { _ in
        SelfAttention(width, heads: configuration.heads, using: &generator)
      }
    }

    mutating func visit(_ visitor: inout ParameterVisitor) {
      visitor(&enter, "enter")
      visitor(&blocks, "blocks")
      visitor(&attention, "attention")
    }

    /// A block with its attention.
    func block(_ index: Int, _ x: Tensor, _ embedding: Tensor) -> Tensor {
      let y = blocks[index](x, embedding)
      return attention.isEmpty ? y : attention[index](y)
    }
  }

  /// Two blocks at the smallest size, with attention between where any level has it.
  struct Middle: Module {
    private var blocks: [ResidualBlock]
    private var attention: SelfAttention?

    init(_ configuration: Configuration, using generator: inout Generator) {
      let width = configuration.widths[configuration.widths.count - 1]
      blocks = (0..<2).map { _ in
        ResidualBlock(width, width, embeddingWidth: configuration.embeddingWidth, using: &generator)
      }
      attention =
        configuration.attention.isEmpty ? nil : SelfAttention(width, heads: configuration.heads, using: &generator)
    }

    mutating func visit(_ visitor: inout ParameterVisitor) {
      visitor(&blocks, "blocks")
      visitor(&attention, "attention")
    }

    func callAsFunction(_ x: Tensor, _ embedding: Tensor) -> Tensor {
      let y = blocks[0](x, embedding)
      return blocks[1](attention?(y) ?? y, embedding)
    }
  }
}
