#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// What tells a file from every other, and from itself before somebody wrote to it.
public struct FileIdentity: Hashable, Sendable {
  private let device, number: UInt64
  /// In bytes.
  public let size: Int
  /// When it was last written to, in seconds and nanoseconds.
  public let seconds, nanoseconds: Int

  /// Of the file of that path, as far as a link leads; nil where there is none or it is no regular file.
  public init?(of path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    self.init(status)
  }

  init?(descriptor: Int32) {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { return nil }
    self.init(status)
  }

  private init?(_ status: stat) {
    guard status.st_mode & S_IFMT == S_IFREG else { return nil }
    #if canImport(Darwin)
      let time = status.st_mtimespec
    #else
      let time = status.st_mtim
    #endif
    (device, number, size) = (UInt64(status.st_dev), UInt64(status.st_ino), Int(status.st_size))
    (seconds, nanoseconds) = (Int(time.tv_sec), Int(time.tv_nsec))
  }
}
