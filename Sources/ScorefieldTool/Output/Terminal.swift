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

  static func write(_ text: String) {
    fputs(text, stderr)
  }
}
