#if _endian(big)
  #error("The files are little-endian, and arrays are views of them.")
#endif

/// Writing the format of named tensors, `.safetensors`; `SafeTensorsFile` reads it.
///
/// Source: <https://github.com/huggingface/safetensors#format>.
public enum SafeTensors {
  /// Writes named arrays, whole or not at all, byte for byte as the reference implementation does.
  ///
  /// - Parameters:
  ///   - tensors: The arrays and their names, all different, in any order. `complex128` is refused, which the format
  ///     does not have.
  ///   - metadata: Notes about the file.
  ///   - path: The destination, in a folder that exists.
  /// - Throws: Where the format cannot hold an array, or the file cannot be written.
  public static func write(
    _ tensors: [(name: String, array: HostArray)], metadata: [String: String] = [:], to path: String
  ) throws(ArrayFileError) {
    try AtomicFile.write(encode(tensors, metadata: metadata, name: path), to: path)
  }

  /// The parts of the file that `write` writes: its header, and the arrays' own bytes.
  public static func encode(
    _ tensors: [(name: String, array: HostArray)], metadata: [String: String] = [:], name: String
  ) throws(ArrayFileError) -> [Bytes] {
    // Wide elements first, so that all are aligned; among equals the reference implementation sorts by type and name.
    let sorted = tensors.sorted { a, b in
      let (i, j) = (order.firstIndex(of: a.array.elementType) ?? 0, order.firstIndex(of: b.array.elementType) ?? 0)
      return i == j ? a.name.utf8.lexicographicallyPrecedes(b.name.utf8) : i > j
    }
    for (a, b) in zip(sorted.map(\.name).sorted(), sorted.map(\.name).sorted().dropFirst()) where a == b {
      fatalError("SafeTensors.encode: two arrays are named \(ArrayFileError.quote(a))")
    }

    var fields: [String] = []
    if !metadata.isEmpty {
      let notes = metadata.sorted { $0.key < $1.key }.map { "\(json($0.key)):\(json($0.value))" }
      fields.append("\"__metadata__\":{\(notes.joined(separator: ","))}")
    }
    var end = 0
    for (tensor, array) in sorted {
      guard tensor != "__metadata__" else {
        fatalError("SafeTensors.encode: '__metadata__' cannot be the name of an array")
      }
      guard let code = array.elementType.safeTensorsCode, array.count * array.elementType.bitWidth % 8 == 0 else {
        let problem = "\(ArrayFileError.quote(tensor)) is \(array.elementType.rawValue) \(array.shape)"
        throw ArrayFileError(
          name, .cannotWrite, "\(problem), which .safetensors cannot hold", repair: "convert it first")
      }
      let (start, shape) = (end, array.shape.map(String.init).joined(separator: ","))
      end += array.byteCount
      fields.append("\(json(tensor)):{\"dtype\":\"\(code)\",\"shape\":[\(shape)],\"data_offsets\":[\(start),\(end)]}")
    }

    var header = Array("{\(fields.joined(separator: ","))}".utf8)
    header += Array(repeating: UInt8(ascii: " "), count: (8 - header.count % 8) % 8)
    guard header.count <= SafeTensorsHeader.maximumLength else {
      throw ArrayFileError(
        name, .cannotWrite, "its header would be \(header.count) bytes, more than the format's 100000000",
        repair: "write fewer tensors")
    }
    let length = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) }
    return [(length + header).withUnsafeBytes { Bytes(copying: $0) }] + sorted.map(\.array.bytes)
  }

  /// The types in the reference implementation's order, whose last come first in a file.
  private static let order: [ElementType] = [
    .bool, .float4E2M1, .float6E2M3, .float6E3M2, .uint8, .int8, .float8E5M2, .float8E4M3, .float8E8M0,
    .int16, .uint16, .float16, .bfloat16, .int32, .uint32, .float32, .complex64, .float64, .int64, .uint64,
  ]

  /// A JSON string, escaped as the reference implementation does.
  private static func json(_ text: String) -> String {
    var json = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": json += "\\\(scalar)"
      case "\u{8}": json += "\\b"
      case "\u{C}": json += "\\f"
      case "\n": json += "\\n"
      case "\r": json += "\\r"
      case "\t": json += "\\t"
      case ..<" ": json += (scalar.value < 16 ? "\\u000" : "\\u00") + String(scalar.value, radix: 16)
      default: json.unicodeScalars.append(scalar)
      }
    }
    return json + "\""
  }
}

extension ElementType {
  /// The format's name of the type; `nil` where it has none.
  var safeTensorsCode: String? {
    switch self {
    case .bool: "BOOL"
    case .uint8, .uint16, .uint32, .uint64: "U\(bitWidth)"
    case .int8, .int16, .int32, .int64: "I\(bitWidth)"
    case .float16, .float32, .float64: "F\(bitWidth)"
    case .bfloat16: "BF16"
    case .complex64: "C64"
    case .complex128: nil
    case .float8E4M3: "F8_E4M3"
    case .float8E5M2: "F8_E5M2"
    case .float8E8M0: "F8_E8M0"
    case .float4E2M1: "F4"
    case .float6E2M3: "F6_E2M3"
    case .float6E3M2: "F6_E3M2"
    }
  }
}
