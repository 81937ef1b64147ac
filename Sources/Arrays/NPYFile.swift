/// A `.npy` file, mapped into memory: what is not looked at is not read, so it may be larger than the memory.
///
/// - Cost: a row in row-major order is one copy; in column-major order each of its elements is elsewhere in the file.
public struct NPYFile: ArrayRows {
  public let path: String
  public let elementType: ElementType
  public let shape: [Int]
  private let data: Bytes
  private let isTransposed, isSwapped: Bool

  /// Opens a file.
  public init(_ path: String) throws(ArrayFileError) { try self.init(parsing: Bytes(mapping: path), name: path) }

  /// Takes the bytes of a file; errors call it by the given name.
  public init(parsing bytes: Bytes, name: String) throws(ArrayFileError) {
    let header = try NPYHeader(of: bytes, name: name)
    (path, elementType, shape) = (name, header.elementType, header.shape)
    let claim = "\(elementType.rawValue) \(shape)"
    guard let bitCount = elementType.bitCount(ofShape: shape) else {
      throw ArrayFileError(
        name, .badData, "claims to hold \(claim), more than any file can", repair: "save it again with numpy.save")
    }
    data = bytes[header.dataOffset..<bytes.count]
    let expected = bitCount / 8
    guard data.count >= expected else {
      throw ArrayFileError(
        name, .badData, "should hold \(claim), which is \(expected) bytes, but only \(data.count) follow its header",
        repair: "get the whole file again")
    }
    guard data.count == expected else {
      throw ArrayFileError(
        name, .badData, "has \(data.count - expected) bytes after its \(claim)",
        repair: "save it again with numpy.save")
    }
    isTransposed = header.isFortranOrder && shape.count > 1
    isSwapped = header.isByteSwapped && elementType.bitWidth > 8
  }

  /// All of it.
  ///
  /// Data in native byte order and row-major order are not copied: they cost memory when they are looked at.
  public var array: HostArray {
    guard isTransposed || isSwapped else {
      return HostArray(elementType, shape: shape, bytes: data.aligned(to: elementType.component.size))
    }
    let bytes = Bytes(count: data.count) { destination in
      data.withUnsafeBytes { source in copy(shape[...], source, destination) }
    }
    return HostArray(elementType, shape: shape, bytes: bytes)
  }

  public func rows(_ positions: [Int]) -> HostArray {
    guard let count = shape.first, positions.allSatisfy((0..<count).contains) else {
      fatalError("NPYFile.rows(\(positions)): the array is \(shape)")
    }
    let length = data.count / max(count, 1)
    let step = (isTransposed ? 1 : shape.dropFirst().reduce(1, *)) * elementType.bitWidth / 8
    let bytes = Bytes(count: positions.count * length) { destination in
      data.withUnsafeBytes { source in
        guard length > 0 else { return }
        for (index, position) in positions.enumerated() {
          let row = UnsafeMutableRawBufferPointer(rebasing: destination[(index * length)..<((index + 1) * length)])
          let start = UnsafeRawBufferPointer(rebasing: source[(position * step)...])
          if isTransposed || isSwapped {
            copy(shape.dropFirst(), start, row)
          } else {
            row.copyMemory(from: UnsafeRawBufferPointer(rebasing: start[..<length]))
          }
        }
      }
    }
    return HostArray(elementType, shape: [positions.count] + shape.dropFirst(), bytes: bytes)
  }

  /// Copies what the last axes span, in row-major order and native byte order.
  private func copy(
    _ axes: ArraySlice<Int>, _ source: UnsafeRawBufferPointer, _ destination: UnsafeMutableRawBufferPointer
  ) {
    let (size, components) = elementType.component
    let rowMajor = Self.strides(shape, unit: components)[axes.indices]
    let stored = isTransposed ? Self.strides(shape.reversed(), unit: components).reversed()[axes.indices] : rowMajor
    // The two halves of a complex number are one more axis, the fastest in either order.
    var layout = zip(axes + [components], zip(stored + [1], rowMajor + [1])).filter { $0.0 != 1 }
    if layout.isEmpty { layout = [(1, (1, 1))] }
    func copy<Element: FixedWidthInteger>(_: Element.Type) {
      guard destination.count > 0, let source = source.baseAddress, let destination = destination.baseAddress else {
        return
      }
      let copy = StridedCopy<Element>(
        source: source, destination: destination, sourceStrides: layout.map(\.1.0),
        destinationStrides: layout.map(\.1.1), isByteSwapped: isSwapped)
      copy(layout.map(\.0))
    }
    switch size {
    case 1: copy(UInt8.self)
    case 2: copy(UInt16.self)
    case 4: copy(UInt32.self)
    default: copy(UInt64.self)
    }
  }

  /// How far apart neighbours along each axis are in row-major order, where neighbours along the last are `unit` apart.
  static func strides(_ shape: [Int], unit: Int) -> [Int] {
    var strides = Array(repeating: unit, count: shape.count)
    for axis in shape.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * shape[axis + 1] }
    return strides
  }
}

extension ElementType {
  /// The numbers that one element consists of: the size of each in bytes, and how many they are.
  fileprivate var component: (size: Int, count: Int) {
    switch self {
    case .complex64: (4, 2)
    case .complex128: (8, 2)
    default: (max(bitWidth / 8, 1), 1)
    }
  }
}
