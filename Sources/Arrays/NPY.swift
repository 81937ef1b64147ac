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
    try NPYFile(parsing: bytes, name: name).array
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
}
