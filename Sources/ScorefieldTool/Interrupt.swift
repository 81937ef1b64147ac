import Synchronization

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Ctrl-C, and what else asks a process to end: it does with the status the contract names, and leaves nothing behind.
enum Interrupt {
  private static let isWriting = Atomic(false)
  private static let asked = Atomic<Int32>(0)
  private static let deferred = Atomic(false)

  /// Whether a Ctrl-C waits for somebody who looks at ``isPending``.
  static var isDeferred: Bool {
    get { deferred.load(ordering: .relaxed) }
    set { deferred.store(newValue, ordering: .relaxed) }
  }
  /// Whether the process was asked to end.
  static var isPending: Bool { asked.load(ordering: .relaxed) != 0 }
  /// How it ends then: 130 for Ctrl-C, 143 for what `kill` and a batch system send.
  static var status: Int32 { 128 + asked.load(ordering: .relaxed) }

  static func endsTheProcess() {
    // A file that outgrows its limit is a failed write, which has its own line.
    signal(SIGXFSZ, SIG_IGN)
    // A parent that starts us from a thread with blocked signals hands the mask on.
    var signals = sigset_t()
    sigemptyset(&signals)
    for number in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&signals, number) }
    sigprocmask(SIG_UNBLOCK, &signals, nil)
    for number in [SIGINT, SIGTERM, SIGHUP] {
      // What nohup takes away stays away.
      var before = sigaction()
      sigaction(number, nil, &before)
      if number == SIGHUP, isIgnored(before) { continue }
      signal(number) { number in
        // Below the progress bar.
        if isatty(STDERR_FILENO) == 1 { write(STDERR_FILENO, "\n", 1) }
        Interrupt.asked.store(number, ordering: .relaxed)
        if !Interrupt.isWriting.load(ordering: .relaxed), !Interrupt.isDeferred { _exit(Interrupt.status) }
      }
    }
  }

  private static func isIgnored(_ action: sigaction) -> Bool {
    #if canImport(Darwin)
      unsafeBitCast(action.__sigaction_u.__sa_handler, to: Int.self) == 1
    #else
      unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1
    #endif
  }

  /// Lets a write finish, which takes away its temporary file, and ends the process then.
  static func waits<R>(for write: () throws -> R) rethrows -> R {
    isWriting.store(true, ordering: .relaxed)
    defer {
      isWriting.store(false, ordering: .relaxed)
      if isPending, !isDeferred { _exit(status) }
    }
    return try write()
  }
}
