import ScorefieldArrays

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The pictures of a folder, unpacked when they are asked for: `uint8` of shape `[count, height, width]` or
/// `[count, height, width, 3]`.
///
/// They are the files whose names end in `.png`, in the order of their names' bytes; hidden files and folders inside are
/// passed over. All must have the same size and be either grey or coloured, which is looked up when the folder is opened.
public struct PNGFolder: ArrayRows {
  public let path: String
  /// The files' names, in order.
  public let names: [String]
  public let shape: [Int]
  public var elementType: ElementType { .uint8 }

  /// Opens a folder.
  public init(_ path: String) throws(ArrayFileError) {
    let names = try Self.names(in: path)
    var shape: [Int] = []
    for name in names {
      let file = Self.file(name, in: path)
      let found = try Self.shape(of: file)
      if shape.isEmpty { shape = found }
      guard found == shape else { throw Self.mismatch(file, found, names[0], shape) }
    }
    (self.path, self.names, self.shape) = (path, names, [names.count] + shape)
  }

  public func rows(_ positions: [Int]) throws(ArrayFileError) -> HostArray {
    let shape = Array(shape.dropFirst())
    let length = shape.reduce(1, *)
    let bytes = try Bytes(count: positions.count * length) { (buffer) throws(ArrayFileError) in
      for (index, position) in positions.enumerated() {
        guard names.indices.contains(position) else {
          fatalError("PNGFolder.rows(\(positions)): the folder has \(names.count) pictures")
        }
        let file = Self.file(names[position], in: path)
        let picture = try PNG.read(file)
        // It may have been replaced meanwhile.
        guard picture.shape == shape else { throw Self.mismatch(file, picture.shape, names[0], shape) }
        picture.withUnsafeBytes { buffer[(index * length)...].copyBytes(from: $0) }
      }
    }
    return HostArray(.uint8, shape: [positions.count] + shape, bytes: bytes)
  }

  public func error(inRow position: Int, _ problem: String, repair: String) -> ArrayFileError {
    ArrayFileError(Self.file(names[position], in: path), .badData, problem, repair: repair)
  }

  static func file(_ name: String, in path: String) -> String { path.hasSuffix("/") ? path + name : "\(path)/\(name)" }

  static func mismatch(_ file: String, _ found: [Int], _ first: String, _ shape: [Int]) -> ArrayFileError {
    ArrayFileError(
      file, .badData, "is \(found), but '\(first)' is \(shape)",
      repair: "make all pictures of a folder the same size, all grey or all coloured")
  }

  /// The names of the pictures, at least one.
  static func names(in path: String) throws(ArrayFileError) -> [String] {
    guard let folder = opendir(path) else {
      if errno == ENOENT { throw ArrayFileError(path, .missing, "no such folder", repair: "check the path") }
      throw ArrayFileError(
        path, .badData, "cannot be opened as a folder (\(String(cString: strerror(errno))))",
        repair: "check the path and its permissions")
    }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name.lowercased().hasSuffix(".png"), !name.hasPrefix(".") { names.append(name) }
    }
    names.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    guard !names.isEmpty else {
      throw ArrayFileError(path, .badData, "has no .png files", repair: "give a folder of pictures")
    }
    return names
  }

  /// What the file begins with says the shape; where it does not, reading it says why.
  private static func shape(of file: String) throws(ArrayFileError) -> [Int] {
    guard let header = PNGHeader(of: try Bytes(mapping: file)) else { return try PNG.read(file).shape }
    return [header.height, header.width] + (header.channels > 2 ? [3] : [])
  }
}
