import CScorefieldEngine
import ScorefieldArrays

/// An array of numbers on a device: an immutable value.
///
/// Operations are libtorch's, with its broadcasting and its type promotion; integers that become fractions become
/// `float64`. An operation that is asked for the impossible
/// (shapes that do not fit, types that do not mix) is a mistake in the program and stops it with the operation, the shapes
/// and libtorch's words.
public struct Tensor: @unchecked Sendable {
  // Sound: no public operation writes into a tensor, and libtorch's reference counts are atomic.
  var storage: Handle

  /// Owns one reference of libtorch's tensor.
  final class Handle {
    let pointer: ct_tensor
    init(_ pointer: ct_tensor) { self.pointer = pointer }
    deinit { Engine.api.release(pointer) }
  }

  /// Takes over one reference.
  init(owning pointer: ct_tensor) { storage = Handle(pointer) }
  var handle: ct_tensor { storage.pointer }

  /// The lengths of the axes; empty for a scalar.
  public var shape: [Int] {
    let rank = Int(Engine.api.rank(handle))
    return [Int](unsafeUninitializedCapacity: rank) { buffer, count in
      if rank > 0 {
        buffer.baseAddress!.withMemoryRebound(to: Int64.self, capacity: rank) { Engine.api.shape(handle, $0) }
      }
      count = rank
    }
  }

  /// The number of axes.
  public var rank: Int { Int(Engine.api.rank(handle)) }
  /// The number of elements.
  public var count: Int { shape.reduce(1, *) }
  /// The length of the first axis.
  public var batch: Int {
    guard let first = shape.first else { fatalError("batch: a scalar has no axes") }
    return first
  }
  public var elementType: ElementType { ElementType(engine: Engine.api.element_type(handle)) }
  public var device: Device {
    let name = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 32) { buffer in
      Engine.api.device(handle, buffer.baseAddress!, 32)
      return String(cString: buffer.baseAddress!)
    }
    return Device(name: name)
  }
}

extension Tensor: CustomStringConvertible {
  /// Type, shape and, for a small tensor, its values in row-major order.
  public var description: String {
    let head = "Tensor(\(elementType.rawValue) \(shape) \(device))"
    guard count <= 64, let values = printable else { return head }
    return "\(head) [\(values.joined(separator: ", "))]"
  }

  /// The elements as the type writes them; nil where there is no notation, or inside ``vmap(over:_:)``.
  private var printable: [String]? {
    switch elementType {
    case .complex64, .complex128, .float4E2M1, .float6E2M3, .float6E3M2: nil
    case .bool: copied(as: .bool, of: Bool.self)?.map { "\($0)" }
    case .uint64: copied(as: .int64, of: UInt64.self)?.map { "\($0)" }
    case let type where type.isInteger: copied(as: .int64, of: Int.self)?.map { "\($0)" }
    case .float64: copied(as: .float64, of: Double.self)?.map { "\($0)" }
    default: copied(as: .float32, of: Float.self)?.map { "\($0)" }
    }
  }
}

extension ElementType {
  private static let pairs: [(ElementType, Int)] = [
    (.uint8, CT_UINT8), (.int8, CT_INT8), (.int16, CT_INT16), (.int32, CT_INT32), (.int64, CT_INT64),
    (.float16, CT_FLOAT16), (.float32, CT_FLOAT32), (.float64, CT_FLOAT64), (.complex64, CT_COMPLEX64),
    (.complex128, CT_COMPLEX128), (.bool, CT_BOOL), (.bfloat16, CT_BFLOAT16), (.float8E5M2, CT_FLOAT8_E5M2),
    (.float8E4M3, CT_FLOAT8_E4M3), (.uint16, CT_UINT16), (.uint32, CT_UINT32), (.uint64, CT_UINT64),
    (.float8E8M0, CT_FLOAT8_E8M0), (.float4E2M1, CT_FLOAT4_E2M1),
  ].map { ($0, Int($1)) }

  private static let byCode = (0...64).map { code in pairs.first { $0.1 == code }?.0 }

  init(engine code: Int32) {
    guard Self.byCode.indices.contains(Int(code)), let type = Self.byCode[Int(code)] else {
      fatalError("elementType: libtorch's type \(code) has no name here")
    }
    self = type
  }

  /// libtorch's number for the type, or nil where it has none.
  var engineCode: Int? { Self.pairs.first { $0.0 == self }?.1 }
}
