import Foundation
import ScorefieldTensorCore

/// Runs a body with a number of engine threads, and puts back what was.
///
/// The number is the process's, so bodies wait for each other; calls do not nest.
package func withThreads<R, E: Error>(_ count: Int, _ body: () throws(E) -> R) throws(E) -> R {
  threadsLock.lock()
  let before = Threads.count
  Threads.count = count
  defer {
    Threads.count = before
    threadsLock.unlock()
  }
  return try body()
}

private let threadsLock = NSLock()

/// Runs a body once for every index, each on a thread of its own, and returns what they gave in order.
package func concurrently<R: Sendable>(_ count: Int, _ body: @escaping @Sendable (Int) -> R) -> [R] {
  let results = Results<R>()
  let group = DispatchGroup()
  for index in 0..<count {
    group.enter()
    Thread {
      results.set(body(index), at: index)
      group.leave()
    }
    .start()
  }
  group.wait()
  return results.inOrder
}

private final class Results<R: Sendable>: @unchecked Sendable {
  // Sound: every access is under the lock.
  private let lock = NSLock()
  private var found: [Int: R] = [:]
  func set(_ result: R, at index: Int) { lock.withLock { found[index] = result } }
  var inOrder: [R] { lock.withLock { found.sorted { $0.key < $1.key }.map(\.value) } }
}

/// A folder of its own for a body, removed afterwards.
package func withTemporaryFolder<R>(_ body: (String) throws -> R) throws -> R {
  let folder = FileManager.default.temporaryDirectory.appending(path: "scorefield-\(UUID())")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder.path)
}
