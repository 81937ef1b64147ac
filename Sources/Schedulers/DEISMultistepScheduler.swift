import RealModule
import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// DEIS in multistep form: the polynomial of the noise in `log ρ`, `ρ = σ/α`, integrated over `ρ`.
///
///     x_s = α_s (x/α_t + Σ_j m_j ∫ ℓ_j(log ρ) dρ)
struct DEISMultistepScheduler: HalfLogSNRScheduler {
  static let className = "DEISMultistepScheduler"

  enum Algorithm: String, Sendable { case deis }
  enum Variable: String, Sendable { case logarithm = "logrho" }

  var way: HalfLogSNRWay
  let limit: EstimateLimit
  let orders: MultistepOrders

  init(_ file: inout SchedulerFile) throws(ArrayFileError) {
    way = try HalfLogSNRWay(&file, rescalable: false)
    limit = try EstimateLimit(&file, clips: nil)
    _ = try file.choice(
      "algorithm_type", Algorithm.deis, among: [.deis], aliases: ["dpmsolver": .deis, "dpmsolver++": .deis])
    _ = try file.choice(
      "solver_type", Variable.logarithm, among: [.logarithm],
      aliases: ["midpoint": .logarithm, "heun": .logarithm, "bh1": .logarithm, "bh2": .logarithm])
    orders = MultistepOrders(
      order: try file.count("solver_order", 2, in: 1...3), isLowAtEnd: try file.flag("lower_order_final", true),
      endsWithEuler: false)
  }

  var head: Head { way.prediction.head }
  var clock: ModelClock { way.clock }
  var steps: ClosedRange<Int> { 1...way.table.count }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    let (timesteps, sigmas) = way.grid(steps)
    // Levels of their own end where they are.
    let isOfTable = way.levels.spacing == nil && way.flowShift == nil
    let last = isOfTable ? way.table.sigmas[0] : sigmas[steps - 1]
    let nodes = zip(timesteps, sigmas).map { SchedulerNode($0, way.kernel($1)) } + [.end(way.kernel(last))]
    let orders = orders(steps)
    return SamplingPlan(along: nodes) { _ in Steps(orders: orders) }
  }

  private struct Steps: Solver {
    let orders: [Int]

    struct Memory: Sendable {
      var step = 0
      /// Noises and `ρ`, the newest first.
      var noises: [(value: Tensor, ratio: Double)] = []
    }

    func makeMemory() -> Memory { Memory() }

    func step(_ x: Tensor, from t: Double, to s: Double, in field: ScheduledModel, memory: inout Memory) -> Tensor {
      let (now, next) = (field.way[t].kernel, field.way[s].kernel)
      memory.noises = [(field.consistentEstimate(x, at: t).noise, now.noiseToSignal)] + memory.noises.prefix(2)
      defer { memory.step += 1 }
      let used = memory.noises.prefix(orders[memory.step])
      let logs = used.map { Double.log($0.ratio) }
      let sum = zip(logs.indices, used).reduce(x / now.alpha) { sum, term in
        let others = logs.indices.filter { $0 != term.0 }.map { logs[$0] }
        let weight = integral(of: logs[term.0], zeros: others, from: now.noiseToSignal, to: next.noiseToSignal)
        return sum + weight * term.1.value
      }
      return next.alpha * sum
    }

    /// `∫ ∏ (log ρ − zᵢ)/(p − zᵢ) dρ`, by `∫ (log ρ)² dρ = ρ (log² ρ − 2 log ρ + 2)` and its likes.
    private func integral(of point: Double, zeros: [Double], from a: Double, to b: Double) -> Double {
      func primitive(_ ratio: Double) -> Double {
        guard ratio > 0 else { return 0 }
        let log = Double.log(ratio)
        switch zeros.count {
        case 0: return ratio
        case 1: return ratio * (log - 1 - zeros[0])
        default: return ratio * (log * log - 2 * log + 2 - (zeros[0] + zeros[1]) * (log - 1) + zeros[0] * zeros[1])
        }
      }
      return (primitive(b) - primitive(a)) / zeros.reduce(1) { $0 * (point - $1) }
    }
  }
}
