/// The type of an array's elements, in files and in the engine.
///
/// The raw value is NumPy's name where NumPy has the type, PyTorch's otherwise.
public enum ElementType: String, Sendable, CaseIterable {
  case bool
  case uint8, uint16, uint32, uint64
  case int8, int16, int32, int64
  case float16, bfloat16, float32, float64
  case complex64, complex128
  case float8E4M3 = "float8_e4m3fn"
  case float8E5M2 = "float8_e5m2"
  case float8E8M0 = "float8_e8m0fnu"
  /// Two 4-bit floats in a byte.
  case float4E2M1 = "float4_e2m1fn_x2"
  /// Four 6-bit floats in three bytes; files have it, the engine does not.
  case float6E2M3 = "float6_e2m3fn"
  /// Four 6-bit floats in three bytes; files have it, the engine does not.
  case float6E3M2 = "float6_e3m2fn"

  /// The size of one element, in bits.
  public var bitWidth: Int {
    switch self {
    case .float4E2M1: 4
    case .float6E2M3, .float6E3M2: 6
    case .bool, .uint8, .int8, .float8E4M3, .float8E5M2, .float8E8M0: 8
    case .uint16, .int16, .float16, .bfloat16: 16
    case .uint32, .int32, .float32: 32
    case .uint64, .int64, .float64, .complex64: 64
    case .complex128: 128
    }
  }

  /// Whether the elements are whole numbers; `bool` is not one of them.
  public var isInteger: Bool {
    switch self {
    case .uint8, .uint16, .uint32, .uint64, .int8, .int16, .int32, .int64: true
    default: false
    }
  }

  /// Whether the elements are real floating-point numbers.
  public var isFloatingPoint: Bool {
    switch self {
    case .bool, .complex64, .complex128: false
    default: !isInteger
    }
  }
}

extension ElementType {
  /// The size of an array of this shape in bits, or `nil` where no memory could hold it.
  ///
  /// Axes of length zero do not excuse the others: strides are products of them too.
  func bitCount(ofShape shape: [Int]) -> Int? {
    var bits = bitWidth
    for length in shape {
      let (product, overflows) = bits.multipliedReportingOverflow(by: max(length, 1))
      if overflows { return nil }
      bits = product
    }
    return shape.contains(0) ? 0 : bits
  }
}
