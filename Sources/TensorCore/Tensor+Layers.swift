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
  /// Means over squares of `size` pixels, `stride` apart (side by side where not said).
  public func averagePooled(_ size: Int, stride: Int? = nil) -> Tensor {
    Self.averagePool(argument, .ints([size, size]), .ints([stride ?? size, stride ?? size]))
  }
  /// The largest of each square of `size` pixels, `stride` apart (side by side where not said).
  public func maxPooled(_ size: Int, stride: Int? = nil) -> Tensor {
    Self.maxPool(argument, .ints([size, size]), .ints([stride ?? size, stride ?? size]))
  }
  /// The windows a convolution looks at, as columns: `[B, C, H, W]` → `[B, C · height · width, windows]`.
  public func windows(_ height: Int, _ width: Int, stride: Int = 1, padding: Int = 0) -> Tensor {
    Self.unfold(
      argument, .ints([height, width]), .ints([1, 1]), .ints([padding, padding]), .ints([stride, stride]))
  }
  /// Each pixel repeated to a square of `factor` pixels.
  public func upsampledNearest(_ factor: Int) -> Tensor {
    let size = shape
    return Self.upsample(argument, .ints([size[2] * factor, size[3] * factor]))
  }
  /// A border around the last axes: left and right of the last, then of the one before, and so on.
  public func padded(_ widths: Int..., with value: Double = 0) -> Tensor {
    Self.pad(argument, .ints(widths), .double(value))
  }
  /// Each group of channels with mean 0 and variance 1, then scaled and shifted per channel.
  public func groupNormalized(
    groups: Int, weight: Tensor? = nil, bias: Tensor? = nil, epsilon: Double = 1e-5
  ) -> Tensor {
    Self.groupNorm(argument, .int(groups), .optional(weight), .optional(bias), .double(epsilon))
  }
  /// The last axis (or axes) with mean 0 and variance 1, then scaled and shifted.
  ///
  /// Written with elementary operations: libtorch's own has no forward derivative of its backward one.
  public func layerNormalized(
    weight: Tensor? = nil, bias: Tensor? = nil, epsilon: Double = 1e-5, axes: Int = 1
  ) -> Tensor {
    inSinglePrecision { x in
      let centred = x - x.mean(last: axes)
      return centred * (centred.squared().mean(last: axes) + epsilon).rsqrt()
    }
    .scaled(by: weight, shiftedBy: bias)
  }
  /// The last axis divided by its root mean square, then scaled.
  public func rmsNormalized(weight: Tensor? = nil, epsilon: Double = 1e-6) -> Tensor {
    inSinglePrecision { x in x * (x.squared().mean(last: 1) + epsilon).rsqrt() }.scaled(by: weight, shiftedBy: nil)
  }

  private func mean(last axes: Int) -> Tensor { Self.mean(argument, .ints((-axes..<0).map { $0 }), .flag(true)) }

  private func scaled(by weight: Tensor?, shiftedBy bias: Tensor?) -> Tensor {
    let scaled = weight.map { self * $0 } ?? self
    return bias.map { scaled + $0 } ?? scaled
  }

  /// Computes on `float32` where the type is narrower, and goes back.
  private func inSinglePrecision(_ body: (Tensor) -> Tensor) -> Tensor {
    let type = elementType
    return type.bitWidth < 32 ? body(to(.float32)).to(type) : body(self)
  }

  /// `softmax(s q kᵀ) v` over the last two axes `[…, tokens, d]`.
  ///
  /// By elementary operations, so that it can be differentiated twice and in both directions.
  ///
  /// - Parameters:
  ///   - query: What asks, `[…, n, d]`.
  ///   - key: What answers, `[…, m, d]`.
  ///   - value: The answers, `[…, m, e]`.
  ///   - scale: `s`; 1/√d where not said.
  ///   - mask: Where a query may look, `bool`, broadcast to `[…, n, m]`; everywhere where not said.
  /// - Returns: `[…, n, e]`.
  public static func attention(
    query: Tensor, key: Tensor, value: Tensor, scale: Double? = nil, mask: Tensor? = nil
  ) -> Tensor {
    let scale = scale ?? 1 / Double(query.shape[query.rank - 1]).squareRoot()
    var logits = (query * scale).matmul(key.transposed)
    if let mask { logits = logits.replacing(with: -.infinity, where: .!mask) }
    // Softmax, but divided where there is less to divide.
    let weights = (logits - logits.max(-1, keeping: true).detached()).exp()
    return weights.matmul(value) / weights.sum(-1, keeping: true)
  }

  private static let linear = Operator("aten::linear")
  private static let conv2d = Operator("aten::conv2d", as: "convolved")
  private static let convTranspose2d = Operator("aten::conv_transpose2d", "input", as: "convolvedTransposed")
  private static let averagePool = Operator("aten::avg_pool2d", as: "averagePooled")
  private static let maxPool = Operator("aten::max_pool2d", as: "maxPooled")
  private static let upsample = Operator("aten::upsample_nearest2d", as: "upsampledNearest")
  private static let pad = Operator("aten::constant_pad_nd", as: "padded")
  private static let groupNorm = Operator("aten::group_norm", as: "groupNormalized")
  private static let mean = Operator("aten::mean", "dim")
  private static let unfold = Operator("aten::im2col", as: "windows")
}
