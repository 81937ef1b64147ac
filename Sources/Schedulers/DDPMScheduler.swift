import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// DDPM as diffusers has it: ancestral sampling, with noise in the last step too where that is not at timestep 0.
struct DDPMScheduler: DiffusersScheduler {
  static let className = "DDPMScheduler"

  enum Variance: String, Sendable {
    case small = "fixed_small"
    case smallByLogarithm = "fixed_small_log"
    case large = "fixed_large"
  }

  let table: NoiseTable
  let spacing: TimestepSpacing.Choice
  let prediction: Prediction
  let limit: EstimateLimit
  let variance: Variance

  init(_ file: inout SchedulerFile) throws(ArrayFileError) {
    table = try NoiseTable(&file, shapes: [.linear, .scaledLinear, .cosine, .sigmoid], rescalable: true)
    spacing = try TimestepSpacing.Choice(&file, .leading)
    prediction = try Prediction(&file)
    limit = try EstimateLimit(&file, clips: true)
    // Not fixed_large_log, where diffusers takes the root of a logarithm; nor what a network has to learn.
    variance = try file.choice("variance_type", .small, among: [.small, .smallByLogarithm, .large])
  }

  var head: Head { prediction.head }
  var clock: ModelClock { .index(table) }
  var steps: ClosedRange<Int> { 1...table.count }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    let timesteps = spacing.all(steps, of: table.count, whole: true)
    let nodes = timesteps.map { SchedulerNode($0, table.kernel(Int($0))) } + [.end(table.kernel(-1))]
    let isLarge = variance == .large
    return SamplingPlan(along: nodes) { Steps(isLarge: isLarge, noise: $0) }
  }

  private struct Steps: Solver {
    let isLarge: Bool
    let noise: NoiseSource

    func makeMemory() -> NoiseStream { NoiseStream(noise) }

    func step(
      _ x: Tensor, from t: Double, to s: Double, in field: ScheduledModel, memory: inout NoiseStream
    ) -> Tensor {
      let (now, next) = (field.way[t].kernel, field.way[s].kernel)
      let data = field.denoise(x, at: t)
      let ratio = now.alpha / next.alpha
      let transition = 1 - ratio * ratio
      let (kept, gained) = (next.sigma / now.sigma, 1 / (now.sigma * now.sigma))
      let mean = (next.alpha * transition * gained) * data + (ratio * kept * kept) * x
      guard field.way[t].timestep > 0 else { return mean }
      let variance = isLarge ? transition : Swift.max(kept * kept * transition, 1e-20)
      return mean + variance.squareRoot() * memory.draw(like: x)
    }
  }
}
