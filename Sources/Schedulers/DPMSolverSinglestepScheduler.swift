import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// DPM-Solver and DPM-Solver++ in singlestep form: the steps of a group go from its start, each by one estimate more.
struct DPMSolverSinglestepScheduler: HalfLogSNRScheduler {
  static let className = "DPMSolverSinglestepScheduler"
  var way: HalfLogSNRWay
  let limit: EstimateLimit
  let settings: DPMSolverSettings
  let isLowAtEnd: Bool

  init(_ file: inout SchedulerFile) throws(ArrayFileError) {
    way = try HalfLogSNRWay(&file, rescalable: false, isSpaced: false, clips: true)
    limit = try EstimateLimit(&file, clips: nil)
    settings = try DPMSolverSettings(&file, among: [.data, .noise, .dataSDE])
    isLowAtEnd = try file.flag("lower_order_final", false)
    if case .threshold = limit, !settings.algorithm.predictsData {
      throw file.refusal("thresholding", "is not there for 'dpmsolver'", repair: "use 'dpmsolver++'")
    }
  }

  var head: Head { way.prediction.head }
  var clock: ModelClock { way.clock }
  var steps: ClosedRange<Int> { 1...way.table.count }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    let (timesteps, sigmas) = way.grid(steps)
    let last = settings.end == .zero ? 0 : way.table.sigmas[0]
    let nodes = zip(timesteps, sigmas).map { SchedulerNode($0, way.kernel($1)) } + [.end(way.kernel(last))]
    let (settings, orders) = (settings, orders(steps))
    return SamplingPlan(along: nodes) {
      Steps(algorithm: settings.algorithm, completion: settings.completion, orders: orders, noise: $0)
    }
  }

  /// 1, 2, … of each group; the groups that do not fit are shorter.
  func orders(_ steps: Int) -> [Int] {
    let order = settings.order
    // Where groups do not fill the steps, or the end is without noise, the end is low.
    let isLow = isLowAtEnd || steps % order != 0 || settings.end == .zero
    var orders = (0..<steps).map { $0 % order + 1 }
    if isLow, order > 1, steps % order == 0 {
      orders[steps - 1] = 1
      // Of three, the last group is 1, 2 and 1; of two, 1 and 1.
    }
    if settings.end == .zero { orders[steps - 1] = 1 }
    return orders
  }

  private struct Steps: Solver {
    let algorithm: DPMSolverAlgorithm
    let completion: DPMSolverAlgorithm.Completion
    let orders: [Int]
    let noise: NoiseSource

    struct Memory: Sendable {
      var noise: NoiseStream
      var step = 0
      var start: Tensor?
      /// Estimates and their levels, the newest first.
      var estimates: [(value: Tensor, kernel: PerturbationKernel)] = []
    }

    func makeMemory() -> Memory { Memory(noise: NoiseStream(noise)) }

    func step(_ x: Tensor, from t: Double, to s: Double, in field: ScheduledModel, memory: inout Memory) -> Tensor {
      let next = field.way[s].kernel
      memory.estimates = [(algorithm.estimate(x, at: t, in: field), field.way[t].kernel)] + memory.estimates.prefix(2)
      defer { memory.step += 1 }
      let (order, m) = (orders[memory.step], memory.estimates)
      if order == 1 { memory.start = x }
      // The group's first level.
      let base = m[order - 1]
      let weights = algorithm.weights(completion, from: base.kernel, to: next)
      var end = weights.state * (memory.start ?? x) + weights.value * base.value
      func ratio(_ index: Int) -> Double {
        (m[index].kernel.halfLogSNR - base.kernel.halfLogSNR) / (next.halfLogSNR - base.kernel.halfLogSNR)
      }
      func slope(_ index: Int) -> Tensor { (1 / ratio(index)) * (m[index].value - base.value) }
      switch order {
      case 2: end += weights.slope * slope(0)
      case 3:
        let (r0, r1) = (ratio(0), ratio(1))
        let (far, near) = (slope(0), slope(1))
        let heun = algorithm.weights(.heun, from: base.kernel, to: next)
        switch completion {
        case .midpoint: end += heun.slope * far
        case .heun:
          end += (heun.slope / (r0 - r1)) * (r0 * near - r1 * far)
          end += (2 * heun.curvature / (r0 - r1)) * (far - near)
        }
      default: break
      }
      guard algorithm.isStochastic else { return end }
      let draw = memory.noise.draw(like: x)
      return weights.noise == 0 ? end : end + weights.noise * draw
    }
  }
}
