import ScorefieldArrays

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

extension PNG {
  /// All pictures of a folder, `uint8` of shape `[count, height, width]` or `[count, height, width, 3]`.
  ///
  /// They are the files whose names end in `.png`, in the order of their names' bytes; hidden files and folders inside
  /// are passed over. All must have the same size and be either grey or coloured.
  public static func readFolder(_ path: String) throws(ArrayFileError) -> HostArray {
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

    var shape: [Int] = []
    var pixels: [UInt8] = []
    for name in names {
      let file = path.hasSuffix("/") ? path + name : "\(path)/\(name)"
      let picture = try read(file)
      if shape.isEmpty { shape = picture.shape }
      guard picture.shape == shape else {
        throw ArrayFileError(
          file, .badData, "is \(picture.shape), but '\(names[0])' is \(shape)",
          repair: "make all pictures of a folder the same size, all grey or all coloured")
      }
      picture.withUnsafeBytes { pixels += $0 }
    }
    guard !names.isEmpty else {
      throw ArrayFileError(path, .badData, "has no .png files", repair: "give a folder of pictures")
    }
    return HostArray(.uint8, shape: [names.count] + shape, bytes: pixels.withUnsafeBytes { Bytes(copying: $0) })
  }
}
