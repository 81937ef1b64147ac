import ScorefieldTensorCore

/// Keeps the norm of all gradients together below a bound.
///
///     g ← g · min(1, c / (‖g‖ + 10⁻⁶)),   ‖g‖² = Σᵢ ‖gᵢ‖²
///
/// Source: Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, algorithm 1, with PyTorch's 10⁻⁶.
public struct GradientClipping: Codable, Equatable, Sendable {
  /// `c`.
  public var maximumNorm: Double

  public init(maximumNorm: Double) {
    guard maximumNorm > 0 else { fatalError("GradientClipping(maximumNorm: \(maximumNorm)): needs a positive norm") }
    self.maximumNorm = maximumNorm
  }

  /// Scales gradients that are too large; where the norm is not finite they stay what they are, and the step is better
  /// left out.
  ///
  /// - Parameter gradients: The gradients, all of one type and on one device.
  /// - Returns: The norm before.
  public func callAsFunction(_ gradients: inout [Tensor]) -> Double {
    let norm = globalNorm(of: gradients)
    guard norm.isFinite else { return norm }
    let scale = maximumNorm / (norm + 1e-6)
    guard scale < 1 else { return norm }
    gradients.makeUnique()
    Self.multiply.write(.tensors(gradients), .double(scale))
    return norm
  }

  private static let multiply = Operator("aten::_foreach_mul_", "Scalar", as: "GradientClipping")
}

/// The norm of tensors as one vector, `(Σᵢ ‖xᵢ‖²)^½`; 0 of none.
public func globalNorm(of tensors: [Tensor]) -> Double {
  guard let type = tensors.first?.elementType else { return 0 }
  // The square of a half-precision number is soon infinite.
  let wide: Argument = type.bitWidth < 32 ? .type(.float32) : .none
  return Tensor.stacked(norms.all(.tensors(tensors), .int(2), wide, capacity: tensors.count)).norm().item
}

private let norms = Operator("aten::_foreach_norm", "Scalar", as: "globalNorm")
