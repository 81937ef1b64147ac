/// A line on the terminal that says how far a long command is, how fast it goes and how long it will take.
///
/// Silent where stderr is no terminal.
final class Progress {
  private let label: String
  private let total: Int
  /// What was done before, in another process.
  private let before: Int
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  private var shown: ContinuousClock.Instant?

  init(_ label: String, total: Int, before: Int = 0) {
    (self.label, self.total, self.before) = (label, total, before)
    start = clock.now
  }

  /// So many of the total are done.
  func show(_ done: Int, note: String = "") {
    let now = clock.now
    guard Terminal.isWatched, done == total || shown.map({ now - $0 > .milliseconds(100) }) ?? true else { return }
    shown = now
    let elapsed = (now - start).seconds
    let rate = elapsed > 0 ? Double(done - before) / elapsed : 0
    let left = rate > 0 ? Double(total - done) / rate : 0
    let filled = total > 0 ? 24 * done / total : 24
    let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: 24 - filled)
    let figures = "\(done)/\(total), \(fixed(rate, 1))/s, \(Self.time(left)) left"
    Terminal.write("\r\u{1B}[K\(label) \(bar) \(figures)\(note.isEmpty ? "" : ", \(note)")")
    if done == total { finish() }
  }

  /// A time in the unit that suits it.
  static func time(_ seconds: Double) -> String {
    switch seconds {
    case ..<100: "\(fixed(seconds, 0)) s"
    case ..<6000: "\(fixed(seconds / 60, 0)) min"
    default: "\(fixed(seconds / 3600, 1)) h"
    }
  }

  /// Clears the line.
  func finish() {
    if shown != nil { Terminal.write("\r\u{1B}[K") }
    shown = nil
  }
}

extension Duration {
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
