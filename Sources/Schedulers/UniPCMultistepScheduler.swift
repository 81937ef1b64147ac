import RealModule
import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// UniPC as diffusers has it: each step is corrected by the estimate at its end, which the next one uses anyway.
struct UniPCMultistepScheduler: HalfLogSNRScheduler {
  static let className = "UniPCMultistepScheduler"

  /// `B(h)`.
  enum Variant: String, Sendable { case bh1, bh2 }

  var way: HalfLogSNRWay
  let limit: EstimateLimit
  let order: Int
  let predictsData: Bool
  let variant: Variant
  let isLowAtEnd: Bool
  let uncorrected: Set<Int>
  let end: HalfLogSNRWay.End
  let lastFlowLevel: Double?

  init(_ file: inout SchedulerFile) throws(ArrayFileError) {
    way = try HalfLogSNRWay(&file, rescalable: true, knowsEnds: true)
    limit = try EstimateLimit(&file, clips: nil)
    order = try file.count("solver_order", 2, in: 1...3)
    predictsData = try file.flag("predict_x0", true)
    variant = try file.choice(
      "solver_type", .bh2, among: [.bh1, .bh2], aliases: ["midpoint": .bh2, "heun": .bh2, "logrho": .bh2])
    isLowAtEnd = try file.flag("lower_order_final", true)
    uncorrected = Set(try file.numbers("disable_corrector")?.map { Int($0) } ?? [])
    end = try file.choice("final_sigmas_type", .zero, among: [.zero, .smallest])
    lastFlowLevel = try file.optionalNumber("shift_terminal", in: 1e-9...0.999_999)
    try file.requireNothing("solver_p", because: "is another scheduler", repair: "use null")
    if lastFlowLevel != nil, way.flowShift == nil {
      throw file.refusal("shift_terminal", "is for flow sigmas", repair: "use null")
    }
    if case .none = limit {
    } else if !predictsData {
      throw file.refusal("thresholding", "is not there without 'predict_x0'", repair: "use one of them")
    }
    // What diffusers computes there is no number.
    if end == .zero, variant == .bh1 || !predictsData || (order > 1 && !isLowAtEnd) {
      throw file.refusal(
        "final_sigmas_type",
        "has a last step that 'bh1', 'predict_x0' = false and 'lower_order_final' = false cannot take",
        repair: "use 'sigma_min', or 'bh2', true and true")
    }
  }

  var head: Head { way.prediction.head }
  var clock: ModelClock { way.clock }
  var steps: ClosedRange<Int> { 1...way.table.count }
  var needsShift: Bool { way.hasDynamicShift }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    let (timesteps, sigmas) = grid(steps)
    let smallest = way.levels.spacing == nil && way.flowShift == nil ? way.table.sigmas[0] : sigmas[steps - 1]
    let last = end == .zero ? 0 : smallest
    let nodes = zip(timesteps, sigmas).map { SchedulerNode($0, way.kernel($1)) } + [.end(way.kernel(last))]
    let orders = (0..<steps).map { Swift.min(order, $0 + 1, isLowAtEnd ? steps - $0 : order) }
    let (predictsData, variant, uncorrected) = (predictsData, variant, uncorrected)
    return SamplingPlan(along: nodes) { _ in
      Steps(orders: orders, predictsData: predictsData, variant: variant, uncorrected: uncorrected)
    }
  }

  private func grid(_ steps: Int) -> (timesteps: [Double], sigmas: [Double]) {
    guard let shift = way.flowShift else {
      return way.grid(steps)
    }
    // Not the grid of the others: it begins at the noise itself.
    var sigmas = evenly(from: 1, to: 1 / Double(way.table.count), steps + 1).dropLast().map { shifted($0, by: shift) }
    if let lastFlowLevel { sigmas = stretched(sigmas, to: lastFlowLevel) }
    if (sigmas[0] - 1).magnitude < 1e-6 { sigmas[0] -= 1e-6 }
    return (sigmas.map { ($0 * Double(way.table.count)).rounded(.towardZero) }, sigmas)
  }

  private struct Steps: Solver {
    let orders: [Int]
    let predictsData: Bool
    let variant: Variant
    let uncorrected: Set<Int>

    struct Estimate: Sendable {
      let value: Tensor
      let kernel: PerturbationKernel
    }
    struct Memory: Sendable {
      var step = 0
      /// The newest first.
      var estimates: [Estimate] = []
      /// The state that the last step left.
      var last: Tensor?
    }

    func makeMemory() -> Memory { Memory() }

    func step(_ x: Tensor, from t: Double, to s: Double, in field: ScheduledModel, memory: inout Memory) -> Tensor {
      let (now, next) = (field.way[t].kernel, field.way[s].kernel)
      let value = predictsData ? field.denoise(x, at: t) : field.estimate(x, at: t).noise
      let estimate = Estimate(value: value, kernel: now)
      var start = x
      let step = memory.step
      if step > 0, !uncorrected.contains(step - 1), let last = memory.last {
        start = advanced(last, memory.estimates.prefix(orders[step - 1]), to: now, corrected: value)
      }
      memory.estimates = [estimate] + memory.estimates.prefix(2)
      memory.last = start
      memory.step += 1
      return advanced(start, memory.estimates.prefix(orders[step]), to: next, corrected: nil)
    }

    /// The state at another level, by the estimates before it, and by that at it where there is one.
    ///
    ///     x_s = A x − scale ((e^z − 1) m₀ + B(z) Σ ρᵢ Dᵢ),   Dᵢ = (mᵢ − m₀)/rᵢ,   z = ∓h
    private func advanced(
      _ x: Tensor, _ estimates: ArraySlice<Estimate>, to next: PerturbationKernel, corrected: Tensor?
    ) -> Tensor {
      let newest = estimates[0]
      let now = newest.kernel
      if next.sigma == 0 { return next.alpha * newest.value }
      let h = next.halfLogSNR - now.halfLogSNR
      if h == 0 { return x }
      let z = predictsData ? -h : h
      let (state, scale) =
        predictsData ? (next.sigma / now.sigma, next.alpha) : (next.alpha / now.alpha, next.sigma)
      let growth = Double.expMinusOne(z)
      let base = variant == .bh1 ? z : growth
      var ratios = estimates.dropFirst().map { ($0.kernel.halfLogSNR - now.halfLogSNR) / h }
      var differences = zip(ratios, estimates.dropFirst()).map { (1 / $0) * ($1.value - newest.value) }
      if let corrected {
        ratios.append(1)
        differences.append(corrected - newest.value)
      }
      let end = state * x - (scale * growth) * newest.value
      let weights = weights(ratios, z, base)
      return zip(weights, differences).reduce(end) { $0 - (scale * base * $1.0) * $1.1 }
    }

    /// `ρ`, which make the step right for polynomials: `Σ ρᵢ rᵢ^{k−1} = k! φ_{k+1}(z) z/B`, `k = 1, …`.
    private func weights(_ ratios: [Double], _ z: Double, _ base: Double) -> [Double] {
      // Of one difference, the limit for small steps.
      if ratios.count < 2 { return ratios.map { _ in 0.5 } }
      var (moment, factorial) = (Double.expMinusOne(z) / z - 1, 1.0)
      var rows: [[Double]] = []
      for k in ratios.indices {
        rows.append(ratios.map { .pow($0, k) } + [moment * factorial / base])
        factorial *= Double(k + 2)
        moment = moment / z - 1 / factorial
      }
      return solved(rows)
    }
  }
}

/// The solution of linear equations, each with its right-hand side at its end, by elimination with the largest pivot.
private func solved(_ equations: [[Double]]) -> [Double] {
  var rows = equations
  let n = rows.count
  for i in 0..<n {
    let pivot = (i..<n).max { rows[$0][i].magnitude < rows[$1][i].magnitude }!
    rows.swapAt(i, pivot)
    for j in 0..<n where j != i {
      let factor = rows[j][i] / rows[i][i]
      for k in i...n { rows[j][k] -= factor * rows[i][k] }
    }
  }
  return (0..<n).map { rows[$0][n] / rows[$0][$0] }
}

/// `1 − σ` scaled so that the last is at a level.
func stretched(_ sigmas: [Double], to last: Double) -> [Double] {
  let scale = (1 - sigmas[sigmas.count - 1]) / (1 - last)
  return sigmas.map { 1 - (1 - $0) / scale }
}
