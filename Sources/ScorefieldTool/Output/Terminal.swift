#if canImport(Darwin)
  import Darwin
#else
  @preconcurrency import Glibc
#endif

/// Words for people, on stderr; results go to stdout.
enum Terminal {
  /// Whether somebody watches stderr.
  static let isWatched = isatty(STDERR_FILENO) == 1

  static func say(_ line: String) {
    write("\(line)\n")
  }

  /// A result, on stdout; one that does not arrive is a failure.
  static func answer(_ text: String) throws(Failure) {
    let line = "\(text)\n"
    guard fwrite(line, 1, line.utf8.count, stdout) == line.utf8.count, fflush(stdout) == 0 else {
      throw Failure(
        .cannotWrite, "standard output", "cannot be written (\(String(cString: strerror(errno))))",
        repair: "check where it goes")
    }
  }

  static func write(_ text: String) {
    fwrite(text, 1, text.utf8.count, stderr)
  }
}
