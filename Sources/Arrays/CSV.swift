/// Tables of numbers as text: comma-separated values.
///
/// Cells are separated by commas, or else by tabs or semicolons where the first line has any. That line may hold names
/// instead of numbers. Blank lines are passed over; cells may be quoted and may have spaces around them.
///
/// Source: RFC 4180.
public enum CSV {
  /// The table in a file, `float64` of shape `[rows, columns]`; `nan` and `inf` are numbers.
  public static func read(_ path: String) throws(ArrayFileError) -> HostArray {
    try parse(Bytes(mapping: path), name: path)
  }

  /// The table in the bytes of a file; errors call the file by the given name, and rows by their line in it.
  public static func parse(_ bytes: Bytes, name: String) throws(ArrayFileError) -> HostArray {
    try bytes.withUnsafeBytes { (text) throws(ArrayFileError) in
      var scanner = TableScanner(text, of: name)
      return try scanner.table()
    }
  }

  /// Writes a `float64` array of shape `[rows, columns]` or `[rows]`, whole or not at all.
  ///
  /// Every number is as short as it can be and still be read back exactly.
  public static func write(_ array: HostArray, to path: String) throws(ArrayFileError) {
    try AtomicFile.write([encode(array, name: path)], to: path)
  }

  /// The bytes of the file that `write` writes.
  public static func encode(_ array: HostArray, name: String) throws(ArrayFileError) -> Bytes {
    guard array.elementType == .float64, array.count > 0, (1...2).contains(array.shape.count) else {
      throw ArrayFileError(
        name, .cannotWrite, "a table holds float64 [rows, columns], not \(array.elementType.rawValue) \(array.shape)",
        repair: "write a .npy file")
    }
    let columns = array.shape.count == 2 ? array.shape[1] : 1
    var text: [UInt8] = []
    array.withUnsafeBytes { bytes in
      for (index, value) in bytes.bindMemory(to: Double.self).enumerated() {
        text += value.description.utf8
        text.append(UInt8(ascii: index % columns == columns - 1 ? "\n" : ","))
      }
    }
    return text.withUnsafeBytes { Bytes(copying: $0) }
  }
}
