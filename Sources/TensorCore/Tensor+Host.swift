import CScorefieldEngine
import ScorefieldArrays

// Between host memory and the engine.

extension Tensor {
  /// The elements of a host array, sharing its memory (a mapped file stays mapped as long as the tensor needs it).
  ///
  /// Stops where libtorch has no such element type; ask ``supports(_:)`` of types that come from files.
  public init(_ array: HostArray) {
    guard let code = array.elementType.engineCode else {
      fatalError("Tensor(HostArray): libtorch has no \(array.elementType.rawValue)")
    }
    var shape = array.shape.map(Int64.init)
    // libtorch packs two 4-bit floats into one element along the last axis.
    if array.elementType == .float4E2M1, let last = shape.indices.last { shape[last] /= 2 }
    let owner = Unmanaged.passRetained(Box(array))
    self = array.withUnsafeBytes { bytes in
      Tensor.yielding("Tensor(HostArray)") {
        Engine.api.from_memory(
          bytes.baseAddress, Int32(code), shape, Int32(shape.count), { Unmanaged<Box>.fromOpaque($0!).release() },
          owner.toOpaque(), $0)
      }
    }
  }

  /// Whether tensors can hold elements of a type.
  public static func supports(_ type: ElementType) -> Bool { type.engineCode != nil }

  private final class Box {
    let array: HostArray
    init(_ array: HostArray) { self.array = array }
  }

  /// Values in row-major order.
  public init(_ values: [Double], shape: [Int]) { self.init(copying: values, type: .float64, shape: shape) }
  /// Values in row-major order.
  public init(_ values: [Float], shape: [Int]) { self.init(copying: values, type: .float32, shape: shape) }
  /// Values in row-major order.
  public init(_ values: [Int], shape: [Int]) { self.init(copying: values.map(Int64.init), type: .int64, shape: shape) }
  /// Values in row-major order.
  public init(_ values: [Bool], shape: [Int]) { self.init(copying: values, type: .bool, shape: shape) }

  /// A vector.
  public init(_ values: [Double]) { self.init(values, shape: [values.count]) }
  /// A vector.
  public init(_ values: [Int]) { self.init(values, shape: [values.count]) }

  /// A matrix, row by row.
  public init(rows: [[Double]]) {
    let width = rows.first?.count ?? 0
    guard rows.allSatisfy({ $0.count == width }) else {
      fatalError("Tensor(rows:): rows of lengths \(rows.map(\.count))")
    }
    self.init(rows.flatMap { $0 }, shape: [rows.count, width])
  }

  /// A scalar, shape `[]`.
  public init(scalar: Double, type: ElementType = .float64) { self = Tensor.full([], scalar, type: type) }

  private init<T>(copying values: [T], type: ElementType, shape: [Int]) {
    guard shape.reduce(1, *) == values.count else {
      fatalError("Tensor(\(shape)): needs \(shape.reduce(1, *)) values, got \(values.count)")
    }
    let lengths = shape.map(Int64.init)
    self = values.withUnsafeBytes { bytes in
      Tensor.yielding("Tensor(\(shape))") {
        Engine.api.from_memory(bytes.baseAddress, Int32(type.engineCode!), lengths, Int32(shape.count), nil, nil, $0)
      }
    }
  }

  /// The elements in row-major order, copied to the host.
  public var hostArray: HostArray {
    var shape = shape
    let type = elementType
    if type == .float4E2M1, let last = shape.indices.last { shape[last] *= 2 }
    let size = (shape.reduce(1, *) * type.bitWidth + 7) / 8
    let bytes = Bytes(count: size) { buffer in
      Engine.api.check("hostArray", Engine.api.copy_out(handle, buffer.baseAddress, Int64(size)))
    }
    return HostArray(type, shape: shape, bytes: bytes)
  }

  /// The elements in row-major order as doubles.
  public var doubles: [Double] { copiedOrStop(as: .float64) }
  /// The elements in row-major order as floats.
  public var floats: [Float] { copiedOrStop(as: .float32) }
  /// The elements in row-major order as integers; fractions are cut off.
  public var integers: [Int] { copiedOrStop(as: .int64) }
  /// The elements in row-major order as truth values.
  public var flags: [Bool] { copiedOrStop(as: .bool) }

  private func copiedOrStop<T>(as type: ElementType) -> [T] {
    guard let values = copied(as: type, of: T.self) else { fatalError("values(\(shape)): \(Engine.failure)") }
    return values
  }

  /// The elements, converted to a type that Swift holds as `T`; nil where they cannot be read here.
  func copied<T>(as type: ElementType, of: T.Type) -> [T]? {
    let converted = to(type)
    let count = count
    var status = CT_OK
    let values = [T](unsafeUninitializedCapacity: count) { buffer, initialized in
      let size = Int64(count * MemoryLayout<T>.stride)
      if count > 0 { status = Engine.api.copy_out(converted.handle, buffer.baseAddress, size) }
      initialized = status == CT_OK ? count : 0
    }
    return status == CT_OK ? values : nil
  }

  /// The value of a tensor of one element.
  public var item: Double {
    guard count == 1 else { fatalError("item(\(shape)): needs exactly one element") }
    return doubles[0]
  }

  // MARK: Type and device

  /// The same values in another type; itself where it has it already.
  public func to(_ type: ElementType) -> Tensor {
    elementType == type ? self : Self.toType(argument, .type(type))
  }

  /// The same values on another device; itself where it is there already.
  public func to(_ device: Device) -> Tensor {
    self.device == device ? self : Self.toDevice(argument, .device(device), .type(elementType))
  }

  private static let toType = Operator("aten::to", "dtype")
  private static let toDevice = Operator("aten::to", "device")
}
