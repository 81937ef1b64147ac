/// What a `.safetensors` file says about its tensors: their types, shapes and places, checked against the file's size.
struct SafeTensorsHeader {
  struct Entry {
    let elementType: ElementType
    let shape: [Int]
    /// Where its bytes are in the file.
    let range: Range<Int>
  }

  private(set) var metadata: [String: String] = [:]
  private(set) var entries: [String: Entry] = [:]
  /// The names, in the order of the data.
  private(set) var names: [String] = []

  /// The format's own bound.
  static let maximumLength = 100_000_000
  private static let repair = "save it again with safetensors"

  /// Reads the header at the beginning of a file.
  init(of bytes: Bytes, name file: String) throws(ArrayFileError) {
    guard bytes.count >= 8 else {
      throw ArrayFileError(
        file, .badData, "is too short for a .safetensors file", repair: "get the whole file again")
    }
    let length = bytes.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
    guard length <= Self.maximumLength else {
      throw ArrayFileError(
        file, .badData, "claims a header of \(length) bytes, more than the format's \(Self.maximumLength)",
        repair: "check that it is a .safetensors file")
    }
    let dataOffset = 8 + Int(length)
    guard dataOffset <= bytes.count else {
      throw ArrayFileError(
        file, .badData, "ends inside its header of \(length) bytes", repair: "get the whole file again")
    }

    var scanner = HeaderScanner(bytes[8..<dataOffset], of: file, repair: Self.repair)
    guard scanner.text.first == UInt8(ascii: "{") else { throw scanner.junk(insteadOf: "'{'") }
    var hasMetadata = false
    try scanner.object { (key, scanner) throws(ArrayFileError) in
      if key == "__metadata__" {
        guard !hasMetadata else { throw scanner.error("has '__metadata__' twice") }
        hasMetadata = true
        try metadata = scanner.metadata()
      } else {
        let entry = try scanner.entry(of: key, dataOffset: dataOffset)
        guard entries.updateValue(entry, forKey: key) == nil else {
          throw scanner.error("has two tensors named \(ArrayFileError.quote(key))")
        }
      }
    }
    try scanner.expectEnd()
    try check(bytes.count, dataOffset, scanner)
  }

  /// The tensors must cover the data exactly, without holes or overlaps.
  private mutating func check(
    _ fileSize: Int, _ dataOffset: Int, _ scanner: HeaderScanner
  ) throws(ArrayFileError) {
    let inOrder = entries.sorted {
      ($0.value.range.lowerBound, $0.value.range.upperBound, $0.key)
        < ($1.value.range.lowerBound, $1.value.range.upperBound, $1.key)
    }
    var end = dataOffset
    for (name, entry) in inOrder {
      guard entry.range.lowerBound == end else {
        throw scanner.error(
          "tensor \(ArrayFileError.quote(name)) begins at byte \(entry.range.lowerBound - dataOffset) of the data, "
            + "but the one before it ends at \(end - dataOffset)")
      }
      end = entry.range.upperBound
    }
    guard end == fileSize else {
      var problem = "its tensors take \(end - dataOffset) bytes but \(fileSize - dataOffset) follow its header"
      if let (name, entry) = inOrder.first(where: { $0.value.range.upperBound > fileSize }),
        let rows = entry.shape.first,
        rows > 0, entry.range.count >= rows
      {
        let row = (fileSize - entry.range.lowerBound) / (entry.range.count / rows)
        problem += ": it ends inside row \(row) of \(ArrayFileError.quote(name))"
      }
      throw ArrayFileError(
        scanner.file, .badData, problem, repair: end > fileSize ? "get the whole file again" : Self.repair)
    }
    names = inOrder.map(\.key)
  }
}

// The grammar is JSON's, but only as deep as the format goes: nothing recurses.
extension HeaderScanner {
  /// An object; the closure reads the value of each key.
  fileprivate mutating func object(
    _ value: (String, inout HeaderScanner) throws(ArrayFileError) -> Void
  ) throws(ArrayFileError) {
    try expect("{")
    if consume("}") { return }
    repeat {
      let key = try jsonString()
      try expect(":")
      try value(key, &self)
    } while consume(",")
    try expect("}")
  }

  fileprivate mutating func metadata() throws(ArrayFileError) -> [String: String] {
    if consume(word: "null") { return [:] }
    var metadata: [String: String] = [:]
    try object { (key, scanner) throws(ArrayFileError) in
      guard metadata.updateValue(try scanner.jsonString(), forKey: key) == nil else {
        throw scanner.error("has \(ArrayFileError.quote(key)) twice in its metadata")
      }
    }
    return metadata
  }

  fileprivate mutating func entry(
    of tensor: String, dataOffset: Int
  ) throws(ArrayFileError) -> SafeTensorsHeader.Entry {
    let name = "tensor \(ArrayFileError.quote(tensor))"
    var (code, shape, offsets): (String?, [Int]?, [Int]?)
    try object { (key, scanner) throws(ArrayFileError) in
      switch key {
      case "dtype" where code == nil: code = try scanner.jsonString()
      case "shape" where shape == nil: shape = try scanner.integers(atMost: Self.maximumRank, of: name)
      case "data_offsets" where offsets == nil: offsets = try scanner.integers(atMost: 2, of: name)
      case "dtype", "shape", "data_offsets": throw scanner.error("\(name) has '\(key)' twice")
      default: throw scanner.error("\(name) has the unknown key \(ArrayFileError.quote(key))")
      }
    }
    guard let code else { throw error("\(name) has no 'dtype'") }
    guard let shape else { throw error("\(name) has no 'shape'") }
    guard let offsets, offsets.count == 2 else { throw error("\(name) has no two 'data_offsets'") }

    guard let elementType = ElementType.allCases.first(where: { $0.safeTensorsCode == code }) else {
      throw error("\(name) has the unknown element type \(ArrayFileError.quote(code))")
    }
    let claim = "\(name) claims to be \(elementType.rawValue) \(shape)"
    guard let bitCount = elementType.bitCount(ofShape: shape) else {
      throw error("\(claim), more than any file can hold")
    }
    guard bitCount % 8 == 0 else { throw error("\(claim), which is no whole number of bytes") }
    guard offsets[0] <= offsets[1] else { throw error("\(name) ends before it begins") }
    guard offsets[1] - offsets[0] == bitCount / 8 else {
      throw error("\(claim), which is \(bitCount / 8) bytes, but has \(offsets[1] - offsets[0])")
    }
    let (end, overflows) = offsets[1].addingReportingOverflow(dataOffset)
    guard !overflows else { throw error("\(name) ends beyond any file") }
    return SafeTensorsHeader.Entry(elementType: elementType, shape: shape, range: (offsets[0] + dataOffset)..<end)
  }

  private mutating func integers(atMost limit: Int, of name: String) throws(ArrayFileError) -> [Int] {
    try expect("[")
    if consume("]") { return [] }
    var integers: [Int] = []
    repeat {
      guard integers.count < limit else { throw error("\(name) has a list of more than \(limit) numbers") }
      integers.append(try integer())
    } while consume(",")
    try expect("]")
    return integers
  }

  private mutating func jsonString() throws(ArrayFileError) -> String {
    guard consume("\"") else { throw junk(insteadOf: "a string") }
    var bytes: [UInt8] = []
    while true {
      let plain = text[position...].prefix { $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") && $0 >= 0x20 }
      bytes += plain
      position = plain.endIndex
      guard position < text.count else { throw junk(insteadOf: "the end of a string") }
      position += 1
      if text[position - 1] == UInt8(ascii: "\"") { break }
      bytes += String(try escapedScalar()).utf8
    }
    guard let string = String(validating: bytes, as: UTF8.self) else {
      throw error("has a string in its header that is not UTF-8")
    }
    return string
  }

  /// The character of an escape sequence, from the byte that follows its backslash.
  private mutating func escapedScalar() throws(ArrayFileError) -> Unicode.Scalar {
    guard position > 0, text[position - 1] == UInt8(ascii: "\\"), position < text.count else {
      throw junk(insteadOf: "a printable character")
    }
    position += 1
    switch Unicode.Scalar(text[position - 1]) {
    case "\"": return "\""
    case "\\": return "\\"
    case "/": return "/"
    case "b": return "\u{8}"
    case "f": return "\u{C}"
    case "n": return "\n"
    case "r": return "\r"
    case "t": return "\t"
    case "u":
      let first = try hexadecimal()
      if let scalar = Unicode.Scalar(first) { return scalar }
      // Beyond the first 65,536 characters JSON writes two surrogates.
      guard text[position...].starts(with: #"\u"#.utf8), first < 0xDC00 else { break }
      position += 2
      let second = try hexadecimal()
      guard (0xDC00...0xDFFF).contains(second) else { break }
      return Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00)) ?? "\u{FFFD}"
    default: break
    }
    throw junk(insteadOf: "an escape sequence of JSON")
  }

  private mutating func hexadecimal() throws(ArrayFileError) -> UInt32 {
    let digits = text[position...].prefix(4)
    guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
      let value = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
    else { throw junk(insteadOf: "four hexadecimal digits") }
    position += 4
    return value
  }
}
