import Synchronization

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The kernel's record of the most memory that was resident, which Linux lets a process start anew.
enum MemoryRecord {
  /// The most before the record was started anew.
  private static let highest = Atomic(0)

  /// The most memory this process has had, in bytes.
  static var peak: Int {
    // What the system counts for a process begins, on Linux, with what its parent had when it was started.
    if let resident = field("VmHWM:") { return max(resident, highest.load(ordering: .relaxed)) }
    var usage = rusage()
    #if canImport(Darwin)
      getrusage(RUSAGE_SELF, &usage)
      return Int(usage.ru_maxrss)
    #else
      getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
      return Int(usage.ru_maxrss) * 1024
    #endif
  }

  /// How far resident memory rises while something is done, in bytes; nil where the record cannot be started anew.
  static func rise(_ body: () -> Void) -> Int? {
    #if os(Linux)
      // What was freed but kept for later would be used again unseen.
      if let symbol = dlsym(nil, "malloc_trim") {
        _ = unsafeBitCast(symbol, to: (@convention(c) (Int) -> Int32).self)(0)
      }
      highest.store(peak, ordering: .relaxed)
      guard let file = fopen("/proc/self/clear_refs", "w") else { return nil }
      let isStarted = fputs("5", file) >= 0
      guard fclose(file) == 0, isStarted, let before = field("VmRSS:") else { return nil }
      body()
      return field("VmHWM:").map { max(0, $0 - before) }
    #else
      return nil
    #endif
  }

  private static func field(_ name: String) -> Int? {
    guard let file = fopen("/proc/self/status", "r") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, 256, file) != nil {
      let words = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self).split {
        $0 == " " || $0 == "\t"
      }
      if words.count > 1, words[0] == name { return Int(words[1]).map { $0 * 1024 } }
    }
    return nil
  }
}
