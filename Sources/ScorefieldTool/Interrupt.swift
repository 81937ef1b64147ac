import Synchronization

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Ctrl-C ends the process with the status the contract names, and nothing is left behind.
enum Interrupt {
  private static let isWriting = Atomic(false)
  private static let isAsked = Atomic(false)
  private static let deferred = Atomic(false)

  /// Whether a Ctrl-C waits for somebody who looks at ``isPending``.
  static var isDeferred: Bool {
    get { deferred.load(ordering: .relaxed) }
    set { deferred.store(newValue, ordering: .relaxed) }
  }
  /// Whether somebody pressed Ctrl-C.
  static var isPending: Bool { isAsked.load(ordering: .relaxed) }

  static func endsTheProcess() {
    // A parent that starts us from a thread with blocked signals hands the mask on.
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGINT)
    sigprocmask(SIG_UNBLOCK, &signals, nil)
    signal(SIGINT) { _ in
      // Below the progress bar.
      if isatty(STDERR_FILENO) == 1 { write(STDERR_FILENO, "\n", 1) }
      Interrupt.isAsked.store(true, ordering: .relaxed)
      if !Interrupt.isWriting.load(ordering: .relaxed), !Interrupt.isDeferred { _exit(ExitStatus.interrupted.rawValue) }
    }
  }

  /// Lets a write finish, which takes away its temporary file, and ends the process then.
  static func waits<R>(for write: () throws -> R) rethrows -> R {
    isWriting.store(true, ordering: .relaxed)
    defer {
      isWriting.store(false, ordering: .relaxed)
      if isPending, !isDeferred { _exit(ExitStatus.interrupted.rawValue) }
    }
    return try write()
  }
}
