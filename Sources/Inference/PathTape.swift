import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore
import Synchronization

/// A stretch of a path with all that its solver asked the model, and how a gradient goes back through it.
///
/// The points `xᵢ` a solver asks about and the end are functions of the start and of the estimates `x̂ᵢ` alone. Walked a second time with
/// these given, the solver says how; the model is not asked again, and its own derivative comes from outside:
///
///     ηᵢ = (∂x_end/∂x̂ᵢ)ᵀ λ + Σ_{j>i} (∂xⱼ/∂x̂ᵢ)ᵀ ξⱼ,   ξⱼ = (∂x̂/∂x)ᵀ ηⱼ at xⱼ
///
/// - Cost: Two tensors per estimate; back, one product and one walk through the solver's own sums per estimate.
struct PathTape {
  /// The state at the last time.
  let end: Tensor
  private let start: Tensor
  private let asked: [Estimate]
  private let walk: (any Denoiser, Tensor) -> Tensor
  private let schedule: any NoiseSchedule

  /// What a model was asked, and said.
  struct Estimate {
    let x: Tensor
    let time: Double
    let data: Tensor
  }

  /// Walks from the first time to the last.
  init<S: Solver>(
    from start: Tensor, along times: ArraySlice<Double>, with solver: S, under denoiser: any Denoiser
  ) where S.Field == any Denoiser {
    self.start = start
    schedule = denoiser.schedule
    walk = { field, start in
      var memory = solver.makeMemory()
      return zip(times, times.dropFirst()).reduce(start) {
        solver.step($0, from: $1.0, to: $1.1, in: field, memory: &memory)
      }
    }
    let recorder = Recorder(schedule: schedule) { x, t, _ in
      guard x.isPlain else {
        fatalError("adjointGradient(stepping: \(S.self)): the solver differentiates the model itself")
      }
      return denoiser.denoise(x, at: t)
    }
    end = walk(recorder, start)
    asked = recorder.estimates
  }

  /// The gradient at the start from that at the end.
  ///
  /// - Parameters:
  ///   - gradient: `∂L/∂x` at the end, shape `[B, …]`.
  ///   - response: `(∂x̂₀/∂x)ᵀ η` for an estimate.
  /// - Returns: `∂L/∂x` at the start, shape `[B, …]`.
  func pullback(_ gradient: Tensor, response: (_ estimate: Estimate, _ eta: Tensor) -> Tensor) -> Tensor {
    let line = Linearization(at: [start] + asked.map(\.data)) { inputs in
      let replay = Recorder(schedule: schedule) { _, _, index in inputs[index + 1] }
      let end = walk(replay, inputs[0])
      return replay.estimates.map(\.x) + [end]
    }
    // The start's and every estimate's, from all that comes after.
    var found = [Tensor?](repeating: nil, count: asked.count + 1)
    func add(_ cotangent: Tensor, ofValue index: Int) {
      for (place, part) in line.pullback(cotangent, ofValue: index).enumerated() {
        guard let part else { continue }
        found[place] = found[place].map { $0 + part } ?? part
      }
    }
    add(gradient, ofValue: asked.count)
    for index in asked.indices.reversed() {
      guard let eta = found[index + 1] else { continue }
      add(response(asked[index], eta), ofValue: index)
    }
    return found[0] ?? .zeros(like: start)
  }

  /// A denoiser that writes down what it is asked.
  private final class Recorder: Denoiser {
    let schedule: any NoiseSchedule
    private let answer: @Sendable (Tensor, Double, Int) -> Tensor
    private let written = Mutex<[Estimate]>([])

    var estimates: [Estimate] { written.withLock { $0 } }

    init(schedule: any NoiseSchedule, answer: @escaping @Sendable (Tensor, Double, Int) -> Tensor) {
      (self.schedule, self.answer) = (schedule, answer)
    }

    func denoise(_ x: Tensor, at t: Double) -> Tensor {
      let data = answer(x, t, written.withLock { $0.count })
      written.withLock { $0.append(Estimate(x: x, time: t, data: data)) }
      return data
    }
  }
}
