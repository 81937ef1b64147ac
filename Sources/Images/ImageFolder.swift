import ScorefieldArrays

extension PNG {
  /// All pictures of a folder, `uint8` of shape `[count, height, width]` or `[count, height, width, 3]`.
  ///
  /// They are the files whose names end in `.png`, in the order of their names' bytes; hidden files and folders inside
  /// are passed over. All must have the same size and be either grey or coloured.
  public static func readFolder(_ path: String) throws(ArrayFileError) -> HostArray {
    let names = try PNGFolder.names(in: path)
    var shape: [Int] = []
    var pixels: [UInt8] = []
    for name in names {
      let file = PNGFolder.file(name, in: path)
      let picture = try read(file)
      if shape.isEmpty { shape = picture.shape }
      guard picture.shape == shape else { throw PNGFolder.mismatch(file, picture.shape, names[0], shape) }
      picture.withUnsafeBytes { pixels += $0 }
    }
    return HostArray(.uint8, shape: [names.count] + shape, bytes: pixels.withUnsafeBytes { Bytes(copying: $0) })
  }
}
