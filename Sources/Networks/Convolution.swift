import ScorefieldTensorCore

/// A convolution of images `[B, C, H, W]` with a square kernel and a bias.
///
/// The border is as wide as keeps the size of the image where the stride is 1; a stride of 2 halves even sides.
public struct Convolution: Module {
  /// Shape `[out, in, size, size]`.
  public var weight: Tensor
  /// Shape `[out]`.
  public var bias: Tensor
  /// Pixels from one window to the next.
  public let stride: Int

  /// Weights and biases uniform in `±gain/√(in · size²)`, PyTorch's for a gain of 1.
  ///
  /// - Parameters:
  ///   - inputs: Channels that go in.
  ///   - outputs: Channels that come out.
  ///   - size: Pixels on a side of the kernel, odd.
  ///   - stride: Pixels from one window to the next.
  ///   - gain: 0 makes a map that is zero until it is trained.
  ///   - generator: Where the numbers come from.
  public init(
    _ inputs: Int, _ outputs: Int, size: Int = 3, stride: Int = 1, gain: Double = 1, using generator: inout Generator
  ) {
    guard inputs > 0, outputs > 0, size > 0, size % 2 == 1, stride > 0 else {
      fatalError(
        "Convolution(\(inputs), \(outputs), size: \(size), stride: \(stride)): the size is odd, all are positive")
    }
    let bound = gain / Double(inputs * size * size).squareRoot()
    self.weight = .symmetricUniform([outputs, inputs, size, size], bound, using: &generator)
    self.bias = .symmetricUniform([outputs], bound, using: &generator)
    self.stride = stride
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) {
    visitor(&weight, "weight")
    visitor(&bias, "bias")
  }

  public func callAsFunction(_ x: Tensor) -> Tensor {
    x.convolved(weight, bias: bias, stride: stride, padding: weight.shape[2] / 2)
  }
}
