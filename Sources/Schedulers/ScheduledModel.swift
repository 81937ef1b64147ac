import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore
import Synchronization

/// A model as a scheduler's steps see it: asked at the nodes of a way, in the words of its training.
struct ScheduledModel: Denoiser {
  let way: NodeSchedule
  let head: Head
  let limit: EstimateLimit
  let predict: @Sendable (Tensor, Double) -> Tensor
  let record: EstimateRecord
  var schedule: any NoiseSchedule { way }

  func denoise(_ x: Tensor, at t: Double) -> Tensor {
    let data = limit(converted(output(x, at: t), to: .data, x, way[t].kernel))
    record.keep(data)
    return data
  }

  /// The model's own answer.
  func output(_ x: Tensor, at t: Double) -> Tensor {
    let node = way[t]
    record.count()
    return predict(node.inputScale == 1 ? x : node.inputScale * x, node.timestep)
  }

  /// The data, within its limit, and the noise the model itself sees.
  func estimate(_ x: Tensor, at t: Double) -> (data: Tensor, noise: Tensor) {
    let (output, kernel) = (output(x, at: t), way[t].kernel)
    let data = limit(converted(output, to: .data, x, kernel))
    record.keep(data)
    return (data, converted(output, to: .noise, x, kernel))
  }

  /// The data, within its limit, and the noise that goes with it.
  func consistentEstimate(_ x: Tensor, at t: Double) -> (data: Tensor, noise: Tensor) {
    let found = estimate(x, at: t)
    if case .none = limit { return found }
    let kernel = way[t].kernel
    return (found.data, (x - kernel.alpha * found.data) / kernel.sigma)
  }

  /// An answer in the form of another head.
  func converted(_ output: Tensor, to target: Head, _ x: Tensor, _ kernel: PerturbationKernel) -> Tensor {
    guard let conversion = head.conversion(to: target, at: kernel) else {
      fatalError("the prediction does not tell the data at α = \(kernel.alpha), σ = \(kernel.sigma)")
    }
    return conversion(output, at: x)
  }
}

/// What is kept of a run's answers: how many there were, and the first estimate since it was last asked.
final class EstimateRecord: Sendable {
  private struct State {
    var count = 0
    var first: Tensor?
  }
  private let state = Mutex(State())
  private let keepsFirst: Bool

  init(keepsFirst: Bool) { self.keepsFirst = keepsFirst }

  var evaluations: Int { state.withLock { $0.count } }
  func count() { state.withLock { $0.count += 1 } }
  func keep(_ data: @autoclosure () -> Tensor) {
    guard keepsFirst else { return }
    let data = data()
    state.withLock { if $0.first == nil { $0.first = data } }
  }
  func takeFirst() -> Tensor? {
    state.withLock { state in
      defer { state.first = nil }
      return state.first
    }
  }
}
