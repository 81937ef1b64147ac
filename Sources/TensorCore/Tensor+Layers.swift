import ScorefieldArrays

// The operations networks are made of. Images are `[B, C, H, W]`.

extension Tensor {
  /// `x Wᵀ + b`; `weight` is `[out, in]`.
  public func linear(_ weight: Tensor, bias: Tensor? = nil) -> Tensor {
    Self.linear(argument, weight.argument, .optional(bias))
  }
  /// A convolution of images; `weight` is `[out, in / groups, h, w]`.
  public func convolved(
    _ weight: Tensor, bias: Tensor? = nil, stride: Int = 1, padding: Int = 0, dilation: Int = 1, groups: Int = 1
  ) -> Tensor {
    Self.conv2d(
      argument, weight.argument, .optional(bias), .ints([stride, stride]), .ints([padding, padding]),
      .ints([dilation, dilation]), .int(groups))
  }
  /// The transpose of a convolution; `weight` is `[in, out / groups, h, w]`.
  public func convolvedTransposed(
    _ weight: Tensor, bias: Tensor? = nil, stride: Int = 1, padding: Int = 0, outputPadding: Int = 0, groups: Int = 1
  ) -> Tensor {
    Self.convTranspose2d(
      argument, weight.argument, .optional(bias), .ints([stride, stride]), .ints([padding, padding]),
      .ints([outputPadding, outputPadding]), .int(groups))
  }
  /// Means over squares of `size` pixels.
  public func averagePooled(_ size: Int) -> Tensor { Self.averagePool(argument, .ints([size, size])) }
  /// The largest of each square of `size` pixels.
  public func maxPooled(_ size: Int) -> Tensor { Self.maxPool(argument, .ints([size, size])) }
  /// Each pixel repeated to a square of `factor` pixels.
  public func upsampledNearest(_ factor: Int) -> Tensor {
    let size = shape
    return Self.upsample(argument, .ints([size[2] * factor, size[3] * factor]))
  }
  /// Zeros around the last axes: (left, right) of the last, then of the one before, …
  public func padded(_ widths: Int..., with value: Double = 0) -> Tensor {
    Self.pad(argument, .ints(widths), .double(value))
  }
  /// Each group of channels with mean 0 and variance 1, then scaled and shifted per channel.
  public func groupNormalized(
    groups: Int, weight: Tensor? = nil, bias: Tensor? = nil, epsilon: Double = 1e-5
  ) -> Tensor {
    Self.groupNorm(argument, .int(groups), .optional(weight), .optional(bias), .double(epsilon))
  }
  /// The last axis with mean 0 and variance 1, then scaled and shifted.
  public func layerNormalized(weight: Tensor? = nil, bias: Tensor? = nil, epsilon: Double = 1e-5) -> Tensor {
    Self.layerNorm(argument, .ints([shape[rank - 1]]), .optional(weight), .optional(bias), .double(epsilon))
  }
  /// `softmax(q kᵀ / √d) v` over the last two axes `[…, tokens, d]`.
  ///
  /// By elementary operations, so that it can be differentiated twice and in both directions.
  public static func attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor {
    let width = Double(query.shape[query.rank - 1])
    return (query.matmul(key.transposed) * (1 / width.squareRoot())).softmax(-1).matmul(value)
  }

  private static let linear = Operator("aten::linear")
  private static let conv2d = Operator("aten::conv2d", as: "convolved")
  private static let convTranspose2d = Operator("aten::conv_transpose2d", "input", as: "convolvedTransposed")
  private static let averagePool = Operator("aten::avg_pool2d", as: "averagePooled")
  private static let maxPool = Operator("aten::max_pool2d", as: "maxPooled")
  private static let upsample = Operator("aten::upsample_nearest2d", as: "upsampledNearest")
  private static let pad = Operator("aten::constant_pad_nd", as: "padded")
  private static let groupNorm = Operator("aten::group_norm", as: "groupNormalized")
  private static let layerNorm = Operator("aten::layer_norm", as: "layerNormalized")
}
