import Scorefield

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Where a command's arrays go: `.safetensors` for many, `.npy` for one.
struct ArrayOutput {
  private enum Format { case safetensors, npy }

  private let path: String
  private let format: Format

  /// Checks the name and the place before anything is computed.
  ///
  /// - Parameters:
  ///   - path: The file to write.
  ///   - option: The option that named it.
  ///   - single: The array a `.npy` would hold, for commands that have one main result.
  ///   - others: Further endings that are known.
  /// - Throws: Where the name or the place will not do.
  init(_ path: String, option: String = "--out", single: String? = nil, others: String? = nil) throws(Failure) {
    self.path = path
    switch Self.fileExtension(of: path) {
    case "safetensors": format = .safetensors
    case "npy" where single != nil: format = .npy
    case "npy":
      throw .option(
        option, "a .npy file holds one array and there are several",
        repair: "give a name ending in .safetensors")
    default:
      let known = [".safetensors", single == nil ? nil : ".npy", others].compactMap { $0 }
      throw .option(
        option, "'\(path)' ends in no format that is known",
        repair: "give a name ending in \(known.joined(separator: " or "))")
    }
    try Self.checkWritable(path)
  }

  /// The file that holds the arrays.
  func file(of arrays: [(name: String, tensor: Tensor)], single: String? = nil) throws(ArrayFileError) -> OutputFile {
    switch format {
    case .safetensors:
      return OutputFile(try SafeTensors.encode(arrays.map { ($0.name, $0.tensor.hostArray) }, name: path), path)
    case .npy:
      guard let array = arrays.first(where: { $0.name == single }) else { fatalError("write: no '\(single ?? "")'") }
      return OutputFile(try NPY.encode(array.tensor.hostArray, name: path), path)
    }
  }

  /// Fails now rather than after an hour: the folder must be there and take files.
  static func checkWritable(_ path: String) throws(Failure) {
    let folder = path.lastIndex(of: "/").map { path[..<$0].isEmpty ? "/" : String(path[..<$0]) } ?? "."
    var status = stat()
    guard stat(folder, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
      throw Failure(.cannotWrite, path, "its folder does not exist", repair: "make the folder first")
    }
    guard access(folder, W_OK) == 0 else {
      throw Failure(
        .cannotWrite, path, "its folder cannot be written to", repair: "check the folder and its permissions")
    }
    if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
      throw Failure(.cannotWrite, path, "is not a regular file", repair: "give the path of a file")
    }
  }

  static func fileExtension(of path: String) -> String {
    let name = path.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
    return name.contains(".") ? name.split(separator: ".").last.map { $0.lowercased() } ?? "" : ""
  }
}

/// A file that is ready to be written.
struct OutputFile {
  let path: String
  private let parts: [Bytes]

  init(_ parts: [Bytes], _ path: String) { (self.parts, self.path) = (parts, path) }

  /// Writes all of them or none.
  static func write(_ files: [OutputFile]) throws {
    try Interrupt.waits { try AtomicFile.write(files.map { ($0.parts, $0.path) }) }
  }
}
