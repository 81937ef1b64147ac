#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Ctrl-C ends the process with the status the contract names. Nothing is left: outputs appear whole or not at all.
enum Interrupt {
  static func endsTheProcess() {
    signal(SIGINT) { _ in _exit(ExitStatus.interrupted.rawValue) }
  }
}
