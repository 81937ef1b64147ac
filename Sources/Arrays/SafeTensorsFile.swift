/// A `.safetensors` file of named tensors, mapped into memory.
///
/// Opening one checks its header completely, as the reference implementation does; after that a tensor is a view of
/// the file that costs memory when it is looked at.
///
/// Source: <https://github.com/huggingface/safetensors#format>.
public struct SafeTensorsFile: Sendable {
  public let path: String
  private let bytes: Bytes
  private let header: SafeTensorsHeader

  /// The names of the tensors, in the order of their data.
  public var names: [String] { header.names }
  /// The file's notes about itself.
  public var metadata: [String: String] { header.metadata }

  /// Opens a file.
  public init(_ path: String) throws(ArrayFileError) {
    try self.init(parsing: Bytes(mapping: path), name: path)
  }

  /// Reads the bytes of a file; errors call the file by the given name.
  public init(parsing bytes: Bytes, name: String) throws(ArrayFileError) {
    (self.path, self.bytes, self.header) = (name, bytes, try SafeTensorsHeader(of: bytes, name: name))
  }

  /// The tensor of that name.
  ///
  /// It shares the file's memory, unless the file put it where its elements cannot be addressed; then it is a copy.
  public func array(named name: String) throws(ArrayFileError) -> HostArray {
    let entry = try entry(named: name)
    let alignment = max(entry.elementType.bitWidth / 8, 1)
    return HostArray(entry.elementType, shape: entry.shape, bytes: bytes[entry.range].aligned(to: alignment))
  }

  /// The shape of the tensor of that name.
  public func shape(of name: String) throws(ArrayFileError) -> [Int] { try entry(named: name).shape }

  /// The element type of the tensor of that name.
  public func elementType(of name: String) throws(ArrayFileError) -> ElementType { try entry(named: name).elementType }

  private func entry(named name: String) throws(ArrayFileError) -> SafeTensorsHeader.Entry {
    if let entry = header.entries[name] { return entry }
    let repair =
      if let nearest = nearestName(to: name, in: names) {
        "did you mean \(ArrayFileError.quote(nearest))?"
      } else if names.isEmpty {
        "the file has none"
      } else {
        "it has " + names.prefix(3).map { ArrayFileError.quote($0) }.joined(separator: ", ")
          + (names.count > 3 ? " and \(names.count - 3) more" : "")
      }
    throw ArrayFileError(path, .badData, "no tensor named \(ArrayFileError.quote(name))", repair: repair)
  }
}
