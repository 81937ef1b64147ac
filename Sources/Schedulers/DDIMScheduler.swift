import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// DDIM as diffusers has it: every step goes `N/n` timesteps down, wherever the next one begins.
///
///     x_s = α_s x̂₀ + √(σ_s² − c²) ε̂ + c ξ
///
/// The estimate of the data is clipped, that of the noise is not.
struct DDIMScheduler: DiffusersScheduler {
  static let className = "DDIMScheduler"
  let table: NoiseTable
  let spacing: TimestepSpacing.Choice
  let prediction: Prediction
  let limit: EstimateLimit
  let endsClean: Bool

  init(_ file: inout SchedulerFile) throws(ArrayFileError) {
    table = try NoiseTable(&file, rescalable: true)
    spacing = try TimestepSpacing.Choice(&file, .leading)
    prediction = try Prediction(&file)
    limit = try EstimateLimit(&file, clips: true)
    endsClean = try file.flag("set_alpha_to_one", true)
  }

  var head: Head { prediction.head }
  var clock: ModelClock { .index(table) }
  var steps: ClosedRange<Int> { 1...table.count }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    let timesteps = spacing.all(steps, of: table.count, whole: true)
    let end = endsClean ? 1 : table.kept[0]
    let nodes = timesteps.flatMap { timestep in
      [
        SchedulerNode(timestep, table.kernel(Int(timestep))),
        .end(table.kernel(Int(timestep) - table.count / steps, end: end)),
      ]
    }
    return SamplingPlan(
      timesteps: timesteps, nodes: nodes, steps: timesteps.indices.map { (2 * $0, 2 * $0 + 1) },
      solver: { Steps(eta: eta, noise: $0) })
  }

  /// The largest share of fresh noise for which every step has room: `σ_t/√(1 − (α_t/α_s)²)`, at least 1.
  func largestEta(_ steps: Int) -> Double {
    let plan = plan(steps, eta: 0)
    return plan.steps.map { step in
      let (now, next) = (plan.nodes[step.from].kernel, plan.nodes[step.to].kernel)
      guard next.sigma > 0 else { return .infinity }
      let ratio = now.alpha / next.alpha
      return now.sigma / ((1 - ratio) * (1 + ratio)).squareRoot()
    }.min() ?? .infinity
  }

  private struct Steps: Solver {
    let eta: Double
    let noise: NoiseSource

    func makeMemory() -> NoiseStream { NoiseStream(noise) }

    func step(
      _ x: Tensor, from t: Double, to s: Double, in field: ScheduledModel, memory: inout NoiseStream
    ) -> Tensor {
      let (now, next) = (field.way[t].kernel, field.way[s].kernel)
      let (data, noise) = field.estimate(x, at: t)
      let ratio = now.alpha / next.alpha
      let fresh = eta * next.sigma / now.sigma * (1 - ratio * ratio).squareRoot()
      let kept = Swift.max((next.sigma - fresh) * (next.sigma + fresh), 0).squareRoot()
      let mean = next.alpha * data + kept * noise
      return eta > 0 ? mean + fresh * memory.draw(like: x) : mean
    }
  }
}
