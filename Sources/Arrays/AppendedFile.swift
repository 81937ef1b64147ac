#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A file that grows by whole records.
///
/// Each record is handed to the system at once, so a process that is killed loses none it was told were written; one that
/// does not fit on the disk is taken back.
package final class AppendedFile {
  package let path: String
  /// The size of the file; it grows by what is appended.
  package private(set) var size: Int
  private let descriptor: Int32

  /// Opens a file, or makes it where there is none.
  package init(_ path: String) throws(ArrayFileError) {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0o666)
    guard descriptor >= 0 else {
      if errno == EISDIR {
        throw ArrayFileError(path, .cannotWrite, "is a folder", repair: "give the path of a file")
      }
      throw AtomicFile.failure(path)
    }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw ArrayFileError(path, .cannotWrite, "is not a regular file", repair: "give the path of a file")
    }
    (self.path, self.descriptor, self.size) = (path, descriptor, Int(status.st_size))
  }

  deinit { close(descriptor) }

  /// Keeps the beginning of the file.
  package func truncate(to size: Int) throws(ArrayFileError) {
    guard ftruncate(descriptor, off_t(size)) == 0, lseek(descriptor, off_t(size), SEEK_SET) >= 0 else {
      throw AtomicFile.failure(path)
    }
    self.size = size
  }

  /// Appends a record, all of it or nothing.
  package func append(_ record: [UInt8]) throws(ArrayFileError) {
    guard writeAll(record.withUnsafeBytes { Bytes(copying: $0) }, to: descriptor) else {
      let error = AtomicFile.failure(path)
      try? truncate(to: size)
      throw error
    }
    size += record.count
  }

  /// Waits until everything is on the disk.
  package func synchronize() throws(ArrayFileError) {
    guard fsync(descriptor) == 0 else { throw AtomicFile.failure(path) }
  }

  /// The bytes of the file, at most `count` from its beginning.
  package func read(_ range: Range<Int>) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
      while count < range.count {
        let found = pread(
          descriptor, buffer.baseAddress! + count, range.count - count, off_t(range.lowerBound + count))
        if found < 0, errno == EINTR { continue }
        guard found > 0 else { return }
        count += found
      }
    }
  }
}
