import Scorefield
import Synchronization

/// How far along the flow a model is being asked.
final class FlowProgress: Sendable {
  private struct State: ~Copyable {
    let bar: Progress
    var most = 0
  }
  private let state: Mutex<State>
  private let start, length: Double
  private let schedule: any NoiseSchedule

  init(_ label: String, from: Double, to: Double, on schedule: any NoiseSchedule) {
    self.schedule = schedule
    start = schedule.kernel(at: from).halfLogSNR
    length = schedule.kernel(at: to).halfLogSNR - start
    state = Mutex(State(bar: Progress(label, total: 100)))
  }

  func show(_ t: Double) {
    let share = (schedule.kernel(at: t).halfLogSNR - start) / length
    state.withLock {
      // An adaptive method steps back.
      $0.most = max($0.most, min(99, Int(100 * share)))
      $0.bar.show($0.most)
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
}
