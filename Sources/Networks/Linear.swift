import ScorefieldTensorCore

/// An affine map of the last axis, `x Wᵀ + b`.
public struct Linear: Module {
  /// Shape `[out, in]`.
  public var weight: Tensor
  /// Shape `[out]`.
  public var bias: Tensor?

  public init(weight: Tensor, bias: Tensor?) { (self.weight, self.bias) = (weight, bias) }

  /// Weights and biases uniform in `±gain/√in`, PyTorch's for a gain of 1.
  ///
  /// - Parameters:
  ///   - inputs: The length of the axis that goes in.
  ///   - outputs: The length of the one that comes out.
  ///   - bias: Whether there is one.
  ///   - gain: 0 makes a map that is zero until it is trained.
  ///   - generator: Where the numbers come from.
  public init(_ inputs: Int, _ outputs: Int, bias: Bool = true, gain: Double = 1, using generator: inout Generator) {
    let bound = gain / Double(max(inputs, 1)).squareRoot()
    self.weight = .symmetricUniform([outputs, inputs], bound, using: &generator)
    self.bias = bias ? .symmetricUniform([outputs], bound, using: &generator) : nil
  }

  /// The maps of a stack of hidden layers, one behind the other.
  static func stack(_ inputs: Int, width: Int, depth: Int, using generator: inout Generator) -> [Linear] {
    (0..<depth).map { Linear($0 == 0 ? inputs : width, width, using: &generator) }
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) {
    visitor(&weight, "weight")
    visitor(&bias, "bias")
  }

  public func callAsFunction(_ x: Tensor) -> Tensor { x.linear(weight, bias: bias) }
}

extension Tensor {
  /// Uniform in `±bound`, `float32`.
  static func symmetricUniform(_ shape: [Int], _ bound: Double, using generator: inout Generator) -> Tensor {
    bound * (2 * Tensor.uniform(shape, type: .float32, using: &generator) - 1)
  }
}
