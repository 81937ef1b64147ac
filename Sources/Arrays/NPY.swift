/// NumPy's format of one array in a file, `.npy`.
///
/// Versions 1.0 to 3.0 are read, of either byte order and either element order; version 1.0 is written, byte for byte
/// as `numpy.save` does.
///
/// Source: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
public enum NPY {
  /// The array in a file.
  ///
  /// Data in native byte order and row-major order are not read but mapped: they cost memory when they are looked at.
  public static func read(_ path: String) throws(ArrayFileError) -> HostArray {
    try parse(Bytes(mapping: path), name: path)
  }

  /// The array in the bytes of a file; errors call the file by the given name.
  public static func parse(_ bytes: Bytes, name: String) throws(ArrayFileError) -> HostArray {
    let header = try NPYHeader(of: bytes, name: name)
    let (elementType, shape) = (header.elementType, header.shape)
    let claim = "\(elementType.rawValue) \(shape)"
    guard let bitCount = elementType.bitCount(ofShape: shape) else {
      throw ArrayFileError(
        name, .badData, "claims to hold \(claim), more than any file can", repair: "save it again with numpy.save")
    }
    let data = bytes[header.dataOffset..<bytes.count]
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

    let isTransposed = header.isFortranOrder && shape.count > 1
    let isSwapped = header.isByteSwapped && elementType.bitWidth > 8
    let rows =
      isTransposed || isSwapped
      ? rowMajor(data, of: elementType, shape: shape, isTransposed: isTransposed, isSwapped: isSwapped)
      : data.aligned(to: elementType.component.size)
    return HostArray(elementType, shape: shape, bytes: rows)
  }

  /// Writes an array, whole or not at all; `bfloat16` and smaller floats are refused, which NumPy does not have.
  public static func write(_ array: HostArray, to path: String) throws(ArrayFileError) {
    try AtomicFile.write(encode(array, name: path), to: path)
  }

  /// The parts of the file that `write` writes: its header, and the array's own bytes.
  public static func encode(_ array: HostArray, name: String) throws(ArrayFileError) -> [Bytes] {
    guard let header = NPYHeader.encode(array.elementType, shape: array.shape) else {
      throw ArrayFileError(
        name, .cannotWrite, "NumPy has no type \(array.elementType.rawValue)", repair: "write a .safetensors file")
    }
    return [header.withUnsafeBytes { Bytes(copying: $0) }, array.bytes]
  }

  /// The same elements in row-major order and native byte order.
  private static func rowMajor(
    _ data: Bytes, of elementType: ElementType, shape: [Int], isTransposed: Bool, isSwapped: Bool
  ) -> Bytes {
    let (size, components) = elementType.component
    let rowMajorStrides = strides(shape, unit: components)
    let sourceStrides = isTransposed ? strides(shape.reversed(), unit: components).reversed() : rowMajorStrides
    // The two halves of a complex number are one more axis, the fastest in either order.
    var axes = zip(shape + [components], zip(sourceStrides + [1], rowMajorStrides + [1])).filter { $0.0 != 1 }
    if axes.isEmpty { axes = [(1, (1, 1))] }
    return Bytes(count: data.count) { destination in
      data.withUnsafeBytes { source in
        func copy<Element: FixedWidthInteger>(_: Element.Type) {
          guard data.count > 0, let source = source.baseAddress, let destination = destination.baseAddress else {
            return
          }
          let copy = StridedCopy<Element>(
            source: source, destination: destination, sourceStrides: axes.map(\.1.0),
            destinationStrides: axes.map(\.1.1), isByteSwapped: isSwapped)
          copy(axes.map(\.0))
        }
        switch size {
        case 1: copy(UInt8.self)
        case 2: copy(UInt16.self)
        case 4: copy(UInt32.self)
        default: copy(UInt64.self)
        }
      }
    }
  }

  /// How far apart neighbours along each axis are in row-major order, where neighbours along the last are `unit` apart.
  private static func strides(_ shape: [Int], unit: Int) -> [Int] {
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
