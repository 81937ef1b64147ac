#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Writing a file whole or not at all.
public enum AtomicFile {
  /// Writes the parts, one after another, as one file.
  ///
  /// They go to a new file in the same folder, which takes the destination's name once it is safely on the disk. On
  /// failure nothing new is left behind and a file of that name keeps its contents. A symbolic link is followed. The new
  /// name, too, is on the disk when this returns.
  ///
  /// - Parameters:
  ///   - parts: What to write; nothing is copied first.
  ///   - path: The destination, in a folder that exists.
  /// - Throws: Where it cannot be written.
  public static func write(_ parts: [Bytes], to path: String) throws(ArrayFileError) { try write([(parts, path)]) }

  /// Writes several files, all of them or none.
  ///
  /// Each is safely on the disk under another name before the first takes its own.
  ///
  /// - Parameter files: What to write, and where.
  /// - Throws: Where one of them cannot be written.
  public static func write(_ files: [(parts: [Bytes], path: String)]) throws(ArrayFileError) {
    try write(files, temporaryPrefix: ".scorefield-")
  }

  /// Writes several files, all of them or none; until then they have names that begin with a prefix.
  ///
  /// A process that is killed leaves such names behind, and whoever chose the prefix knows that they are its own.
  package static func write(
    _ files: [(parts: [Bytes], path: String)], temporaryPrefix prefix: String
  ) throws(ArrayFileError) {
    var staged: [Staged] = []
    defer { for file in staged { unlink(file.temporary) } }
    for file in files { staged.append(try stage(file.parts, for: file.path, prefix)) }
    for file in staged {
      guard rename(file.temporary, file.destination) == 0 else { throw failure(file.path) }
    }
    for (folder, file) in Dictionary(staged.map { ($0.folder, $0) }, uniquingKeysWith: { first, _ in first }) {
      guard synchronize(folder: folder) else { throw failure(file.path) }
    }
  }

  /// Waits until the names in a folder are on the disk; on failure `errno` says why.
  package static func synchronize(folder: String) -> Bool {
    let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    // Who may write into a folder need not be allowed to read it.
    guard descriptor >= 0 else { return true }
    defer { close(descriptor) }
    // Some file systems have no such thing.
    return fsync(descriptor) == 0 || errno == EINVAL || errno == ENOTSUP
  }

  /// A file on the disk that waits for its name.
  private struct Staged {
    let path, folder, temporary, destination: String
  }

  private static func stage(
    _ parts: [Bytes], for path: String, _ prefix: String
  ) throws(ArrayFileError) -> Staged {
    var destination = path
    var status = stat()
    let replaces = stat(path, &status) == 0
    if replaces {
      // Renaming over a device or a pipe would remove it.
      guard status.st_mode & S_IFMT == S_IFREG else {
        let kind = status.st_mode & S_IFMT == S_IFDIR ? "a folder" : "not a regular file"
        throw ArrayFileError(path, .cannotWrite, "is \(kind)", repair: "give the path of a file")
      }
      if let resolved = realpath(path, nil) {
        destination = String(cString: resolved)
        free(resolved)
      }
    }

    let folder = destination.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(destination[...$0]) } ?? ""
    let temporary = "\(folder)\(prefix)\(String(UInt64.random(in: .min ... .max), radix: 16))"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, replaces ? status.st_mode & 0o777 : 0o666)
    guard descriptor >= 0 else { throw failure(path) }

    let isWritten = parts.allSatisfy { writeAll($0, to: descriptor) } && fsync(descriptor) == 0
    let reason = errno
    let isClosed = close(descriptor) == 0
    guard isWritten, isClosed else {
      if !isWritten { errno = reason }
      let error = failure(path)
      unlink(temporary)
      throw error
    }
    return Staged(
      path: path, folder: folder.isEmpty ? "." : folder, temporary: temporary, destination: destination)
  }

  /// Why the system's last call could not write, by `errno`.
  package static func failure(_ path: String) -> ArrayFileError {
    switch errno {
    case ENOENT, ENOTDIR:
      ArrayFileError(path, .cannotWrite, "its folder does not exist", repair: "make the folder first")
    case ENOSPC, EDQUOT:
      ArrayFileError(path, .cannotWrite, "the disk is full", repair: "free some space and write it again")
    default:
      ArrayFileError(
        path, .cannotWrite, "cannot be written (\(systemMessage()))", repair: "check the folder and its permissions")
    }
  }
}

/// Writes all the bytes; on failure `errno` says why.
package func writeAll(_ part: Bytes, to descriptor: Int32) -> Bool {
  part.withUnsafeBytes { bytes in
    var rest = bytes[...]
    while !rest.isEmpty {
      // Some systems refuse to write more than 2³¹ − 1 bytes at once.
      let written = write(descriptor, rest.base.baseAddress! + rest.startIndex, min(rest.count, 1 << 30))
      if written < 0, errno == EINTR { continue }
      guard written > 0 else { return false }
      rest = rest.dropFirst(written)
    }
    return true
  }
}
