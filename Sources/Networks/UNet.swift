import ScorefieldArrays
import ScorefieldTensorCore

/// A network for images: down through levels of half the size and up again, with every map on the way down read again on the
/// way up.
///
/// Level 0 has the size of the image. A level is entered by a convolution that changes the number of channels (of stride 2 on the
/// way down, of repeated pixels on the way up); residual blocks follow. Images are `[B, C, H, W]`, or `[B, H, W]` of one channel;
/// their sides divide by 2 to the number of levels less one. It starts as a network that gives zeros.
///
/// Source: Ho, Jain & Abbeel 2020, arXiv:2006.11239, appendix B, with steering by scale and shift of Dhariwal & Nichol 2021,
/// arXiv:2105.05233.
public struct UNet: Network {
  public let configuration: Configuration
  private var noise: NoiseEmbedding
  private var condition: Linear?
  private var first: Convolution
  private var encoder: [Level]
  private var middle: Middle
  private var decoder: [Level]
  private var norm: GroupNorm
  private var last: Convolution

  public var featureWidth: Int { configuration.widths[0] }

  /// A network with random parameters, `float32`.
  public init(_ configuration: Configuration, using generator: inout Generator) {
    configuration.check()
    self.configuration = configuration
    let (widths, blocks) = (configuration.widths, configuration.blocks)
    noise = NoiseEmbedding(configuration.embeddingWidth, using: &generator)
    condition =
      configuration.conditionWidth > 0
      ? Linear(configuration.conditionWidth, configuration.embeddingWidth, bias: false, using: &generator) : nil
    first = Convolution(configuration.channels, widths[0], using: &generator)
    encoder = widths.indices.map { index in
      let enter =
        index > 0 ? Convolution(widths[index - 1], widths[index], stride: 2, using: &generator) : nil
      return Level(index, in: configuration, enter: enter, inputs: widths[index], blocks: blocks, using: &generator)
    }
    middle = Middle(configuration, using: &generator)
    decoder = widths.indices.map { index in
      let enter =
        index + 1 < widths.count ? Convolution(widths[index + 1], widths[index], using: &generator) : nil
      return Level(
        index, in: configuration, enter: enter, inputs: 2 * widths[index], blocks: blocks + 1, using: &generator)
    }
    norm = GroupNorm(widths[0])
    last = Convolution(widths[0], configuration.channels, gain: 0, using: &generator)
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) {
    visitor(&noise, "noise")
    visitor(&condition, "condition")
    visitor(&first, "first")
    visitor(&encoder, "encoder")
    visitor(&middle, "middle")
    visitor(&decoder, "decoder")
    visitor(&norm, "norm")
    visitor(&last, "last")
  }

  public func features(_ x: Tensor, noise: Tensor, condition: Tensor?) -> Tensor {
    check(x, noise, condition)
    var embedding = self.noise(noise)
    if let condition, let map = self.condition { embedding = embedding + map(condition) }
    embedding = embedding.silu()

    var h = first(x.rank == 3 ? x.expanded(at: 1) : x)
    var kept: [Tensor] = []
    for level in encoder {
      h = level.enter?(h) ?? h
      kept.append(h)
      for index in level.blocks.indices {
        h = level.block(index, h, embedding)
        kept.append(h)
      }
    }
    h = middle(h, embedding)
    for level in decoder.reversed() {
      h = level.enter?(h.upsampledNearest(2)) ?? h
      for index in level.blocks.indices { h = level.block(index, .concatenated([h, kept.removeLast()], 1), embedding) }
    }
    return h
  }

  public func output(of features: Tensor, like x: Tensor) -> Tensor {
    let output = last(norm(features).silu())
    return x.rank == 3 ? output.squeezed(1) : output
  }

  private func check(_ x: Tensor, _ noise: Tensor, _ condition: Tensor?) {
    let shape = x.shape
    func stop(_ reason: String) -> Never {
      let shapes = [shape, noise.shape] + (condition.map { [$0.shape] } ?? [])
      fatalError("UNet(\(shapes.map { "\($0)" }.joined(separator: ", "))): \(reason)")
    }
    guard shape.count == 4 || shape.count == 3 else { stop("images are [B, C, H, W] or [B, H, W]") }
    let channels = shape.count == 4 ? shape[1] : 1
    guard channels == configuration.channels else {
      stop("the network is made for \(configuration.channels) channels, got \(channels)")
    }
    let factor = 1 << (configuration.multipliers.count - 1)
    guard shape.suffix(2).allSatisfy({ $0 > 0 && $0 % factor == 0 }) else {
      stop(
        "the network has \(configuration.multipliers.count) levels, so the sides of an image must divide by \(factor)")
    }
    guard noise.shape == [shape[0]] else { stop("noise is one number per image, [\(shape[0])]") }
    if let condition, condition.shape != [shape[0], configuration.conditionWidth] {
      stop("the network is made for conditions [\(shape[0]), \(configuration.conditionWidth)]")
    }
  }
}
