#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

extension Bytes {
  /// The bytes of a regular file, mapped into memory read-only.
  ///
  /// Nothing is read until it is looked at. The file may be replaced or removed meanwhile, as `AtomicFile` does, but
  /// must not be shortened in place.
  ///
  /// - Parameter path: The file, which must hold at least one byte.
  /// - Throws: Where there is no such file, or it cannot be mapped.
  public init(mapping path: String) throws(ArrayFileError) {
    // Without O_NONBLOCK, opening a pipe nobody writes to would wait for ever.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      if errno == ENOENT || errno == ENOTDIR {
        throw ArrayFileError(path, .missing, "no such file", repair: "check the path")
      }
      throw ArrayFileError(
        path, .badData, "cannot be opened (\(systemMessage()))", repair: "check the path and its permissions")
    }
    defer { close(descriptor) }

    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      let kind = status.st_mode & S_IFMT == S_IFDIR ? "a folder" : "not a regular file"
      throw ArrayFileError(path, .badData, "is \(kind)", repair: "give the path of a file")
    }
    let count = Int(status.st_size)
    guard count > 0 else { throw ArrayFileError(path, .badData, "is empty", repair: "write it again") }
    guard let start = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), start != MAP_FAILED else {
      throw ArrayFileError(
        path, .badData, "cannot be mapped into memory (\(systemMessage()))", repair: "copy it to a local disk")
    }
    self.init(start: UnsafeRawPointer(start), count: count) { munmap(UnsafeMutableRawPointer(mutating: start), count) }
  }

  /// These bytes where they already begin at a multiple of `alignment`, otherwise a copy that does.
  func aligned(to alignment: Int) -> Bytes {
    withUnsafeBytes { Int(bitPattern: $0.baseAddress) % alignment == 0 ? self : Bytes(copying: $0) }
  }
}

/// What the system says about its last failed call.
func systemMessage() -> String { String(cString: strerror(errno)) }
