import Scorefield
import Synchronization

/// How far along the flow a model is being asked.
final class FlowProgress: Sendable {
  private struct State: ~Copyable {
    let bar: Progress
    var most = 0
    /// Ways that are behind us.
    var passed = 0
  }
  private let state: Mutex<State>
  private let start, length: Double
  private let schedule: any NoiseSchedule
  private let passes: Int

  /// The progress of one way, or of several that are alike.
  init(_ label: String, from: Double, to: Double, on schedule: any NoiseSchedule, passes: Int = 1) {
    (self.schedule, self.passes) = (schedule, passes)
    start = schedule.kernel(at: from).halfLogSNR
    length = schedule.kernel(at: to).halfLogSNR - start
    state = Mutex(State(bar: Progress(label, total: 100 * passes)))
  }

  func show(_ t: Double) {
    let share = (schedule.kernel(at: t).halfLogSNR - start) / length
    state.withLock {
      // An adaptive method steps back, but never to where it came from.
      let now = min(99, Int(100 * share))
      if now < 10, $0.most > 90, $0.passed < passes - 1 { ($0.most, $0.passed) = (now, $0.passed + 1) }
      $0.most = max($0.most, now)
      $0.bar.show(100 * $0.passed + $0.most)
    }
  }

  func finish() { state.withLock { $0.bar.finish() } }
}

/// A denoiser whose questions are shown.
struct WatchedDenoiser: Denoiser {
  let base: any Denoiser
  let progress: FlowProgress
  var schedule: any NoiseSchedule { base.schedule }

  func denoise(_ x: Tensor, at t: Double) -> Tensor {
    progress.show(t)
    return base.denoise(x, at: t)
  }

  func denoise(_ points: [Tensor], at times: [Double]) -> [Tensor] {
    times.first.map(progress.show)
    return base.denoise(points, at: times)
  }
}
