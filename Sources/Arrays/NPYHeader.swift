/// What a `.npy` file says about its data before they begin.
struct NPYHeader {
  let elementType: ElementType
  let isByteSwapped: Bool
  let isFortranOrder: Bool
  let shape: [Int]
  /// Where the data begin.
  let dataOffset: Int

  static let magic: [UInt8] = [0x93] + "NUMPY".utf8
  private static let repair = "save it again with numpy.save"
  /// NumPy trusts no longer header either.
  private static let maximumLength = 10_000

  /// Reads the header at the beginning of a file.
  init(of bytes: Bytes, name: String) throws(ArrayFileError) {
    let start = bytes[0..<min(12, bytes.count)].withUnsafeBytes(Array.init)
    guard start.starts(with: Self.magic) else {
      throw ArrayFileError(name, .badData, "is not a .npy file", repair: "save it with numpy.save")
    }
    let cutOff = ArrayFileError(name, .badData, "ends inside its header", repair: "get the whole file again")
    guard start.count >= 8 else { throw cutOff }
    let lengthSize: Int
    switch (start[6], start[7]) {
    case (1, 0): lengthSize = 2
    case (2, 0), (3, 0): lengthSize = 4
    case (let major, let minor):
      throw ArrayFileError(name, .badData, "has the unknown .npy version \(major).\(minor)", repair: Self.repair)
    }
    guard start.count >= 8 + lengthSize else { throw cutOff }
    let length = start[8..<(8 + lengthSize)].reversed().reduce(0) { $0 << 8 | Int($1) }
    guard length <= Self.maximumLength else {
      throw ArrayFileError(
        name, .badData, "claims a header of \(length) bytes, more than NumPy's \(Self.maximumLength)",
        repair: Self.repair)
    }
    self.dataOffset = 8 + lengthSize + length
    guard dataOffset <= bytes.count else { throw cutOff }

    var scanner = HeaderScanner(bytes[(8 + lengthSize)..<dataOffset], of: name, repair: Self.repair)
    var (descriptor, isFortranOrder, shape): (String?, Bool?, [Int]?)
    try scanner.expect("{")
    while !scanner.consume("}") {
      let key = try scanner.pythonString()
      try scanner.expect(":")
      switch key {
      case "descr" where descriptor == nil: descriptor = try scanner.descriptor()
      case "fortran_order" where isFortranOrder == nil: isFortranOrder = try scanner.pythonBool()
      case "shape" where shape == nil: shape = try scanner.pythonShape()
      case "descr", "fortran_order", "shape": throw scanner.error("has '\(key)' twice in its header")
      default: throw scanner.error("has the unknown key \(ArrayFileError.quote(key)) in its header")
      }
      if !scanner.consume(",") {
        try scanner.expect("}")
        break
      }
    }
    try scanner.expectEnd()
    guard let descriptor else { throw scanner.error("has no 'descr' in its header") }
    guard let isFortranOrder else { throw scanner.error("has no 'fortran_order' in its header") }
    guard let shape else { throw scanner.error("has no 'shape' in its header") }

    guard let order = descriptor.first, "<>=|".contains(order),
      let elementType = ElementType.allCases.first(where: { $0.npyCode.map { $0 == descriptor.dropFirst() } ?? false })
    else { throw Self.unusable(descriptor, name: name) }
    self.elementType = elementType
    self.isByteSwapped = order == ">"
    (self.isFortranOrder, self.shape) = (isFortranOrder, shape)
  }

  /// The header that `numpy.save` would write before an array in row-major order, or `nil` where NumPy has no such type.
  static func encode(_ elementType: ElementType, shape: [Int]) -> [UInt8]? {
    guard let code = elementType.npyCode else { return nil }
    let order = elementType.bitWidth == 8 ? "|" : "<"
    let tuple = shape.count == 1 ? "(\(shape[0]),)" : "(\(shape.map(String.init).joined(separator: ", ")))"
    var text = "{'descr': '\(order)\(code)', 'fortran_order': False, 'shape': \(tuple), }"
    // NumPy leaves room for the first axis to grow to 21 digits.
    if let first = shape.first { text += String(repeating: " ", count: 21 - "\(first)".count) }
    text += String(repeating: " ", count: 64 - (11 + text.count) % 64) + "\n"
    return magic + [1, 0, UInt8(text.count & 0xFF), UInt8(text.count >> 8)] + text.utf8
  }

  /// Why the type cannot be used, as precisely as its letter tells.
  private static func unusable(_ descriptor: String, name: String) -> ArrayFileError {
    let code = descriptor.drop { "<>=|".contains($0) }
    let (kind, repair) =
      switch code.first {
      case "O": ("Python objects", "save numbers, such as array.astype('float64')")
      case "U", "S", "a": ("strings", "save numbers, such as array.astype('float64')")
      case "M", "m": ("dates or times", "save numbers, such as array.astype('int64')")
      case "V": ("raw bytes", "save numbers; for bfloat16 use .safetensors")
      case "f", "c": ("floats of a size that few machines have", "save array.astype('float64')")
      default: ("an unknown type", "save numbers, such as array.astype('float64')")
      }
    return ArrayFileError(name, .badData, "holds \(kind) (\(ArrayFileError.quote(descriptor)))", repair: repair)
  }
}

extension ElementType {
  /// NumPy's code for the type, without the byte order; `nil` where NumPy has no such type.
  var npyCode: String? {
    switch self {
    case .bool: "b1"
    case .uint8, .uint16, .uint32, .uint64: "u\(bitWidth / 8)"
    case .int8, .int16, .int32, .int64: "i\(bitWidth / 8)"
    case .float16, .float32, .float64: "f\(bitWidth / 8)"
    case .complex64, .complex128: "c\(bitWidth / 8)"
    case .bfloat16, .float8E4M3, .float8E5M2, .float8E8M0, .float4E2M1, .float6E2M3, .float6E3M2: nil
    }
  }
}

extension HeaderScanner {
  /// A Python string without escapes: no header that we understand needs any.
  fileprivate mutating func pythonString() throws(ArrayFileError) -> String {
    guard let quote = next(), quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else {
      throw junk(insteadOf: "a string")
    }
    position += 1
    guard let end = text[position...].firstIndex(where: { $0 == quote || $0 == UInt8(ascii: "\\") || $0 < 0x20 }),
      text[end] == quote, let string = String(validating: text[position..<end], as: UTF8.self)
    else { throw junk(insteadOf: "a plain string") }
    position = end + 1
    return string
  }

  fileprivate mutating func descriptor() throws(ArrayFileError) -> String {
    if next() == UInt8(ascii: "[") || next() == UInt8(ascii: "(") {
      throw ArrayFileError(
        file, .badData, "holds records of several fields", repair: "save each field as an array of its own")
    }
    return try pythonString()
  }

  fileprivate mutating func pythonBool() throws(ArrayFileError) -> Bool {
    if consume(word: "True") { return true }
    if consume(word: "False") { return false }
    throw junk(insteadOf: "True or False")
  }

  /// A tuple of lengths: `()`, `(3,)`, `(3, 4)`; Python 2 wrote `(3L, 4L)`.
  fileprivate mutating func pythonShape() throws(ArrayFileError) -> [Int] {
    var shape: [Int] = []
    try expect("(")
    while !consume(")") {
      shape.append(try integer())
      guard shape.count <= Self.maximumRank else { throw error("has more than \(Self.maximumRank) axes") }
      _ = consume(word: "L")
      if consume(",") { continue }
      // One number in brackets is a number, not a tuple.
      guard shape.count > 1 else { throw junk(insteadOf: "','") }
      try expect(")")
      break
    }
    return shape
  }
}
