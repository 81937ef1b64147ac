import ScorefieldArrays
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// The second-order method of k-diffusion: a step by the slope at the geometric middle of its levels.
struct KDPM2DiscreteScheduler: SigmaScheduler {
  static let className = "KDPM2DiscreteScheduler"
  let way: SigmaWay

  init(_ file: inout SchedulerFile) throws(ArrayFileError) { way = try SigmaWay(midpoint: &file) }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    way.midpointPlan(steps, arrivals: { $1 }) { MidpointSteps(noise: $0) }
  }
}

/// The same with fresh noise: it goes below the next level, and noise leads back.
struct KDPM2AncestralDiscreteScheduler: SigmaScheduler {
  static let className = "KDPM2AncestralDiscreteScheduler"
  let way: SigmaWay

  init(_ file: inout SchedulerFile) throws(ArrayFileError) { way = try SigmaWay(midpoint: &file) }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    way.midpointPlan(steps, arrivals: { lower($0, $1) }) { MidpointSteps(noise: $0) }
  }

  /// `√(σ_s² − σ_up²)`, which is `σ_s²/σ_t`.
  private func lower(_ now: Double, _ next: Double) -> Double { next * next / now }
}

extension SigmaWay {
  fileprivate init(midpoint file: inout SchedulerFile) throws(ArrayFileError) {
    self.init(
      table: try NoiseTable(&file, first: 0.00085, last: 0.012),
      spacing: try TimestepSpacing.Choice(&file, .linspace), levels: try SigmaSpacing.Choice(&file),
      prediction: try Prediction(&file, among: [.epsilon, .v]), roundsKarras: true)
  }

  /// A way with a node in the middle of each step but the last, and one where its slope leads.
  fileprivate func midpointPlan(
    _ steps: Int, arrivals: (_ now: Double, _ next: Double) -> Double,
    solver: @escaping @Sendable (NoiseSource) -> MidpointSteps
  ) -> SamplingPlan {
    let (timesteps, levels) = grid(steps)
    let sigmas = levels + [0]
    var (nodes, asked) = ([SchedulerNode](), [Double]())
    for (index, timestep) in timesteps.enumerated() {
      let (now, arrival) = (sigmas[index], arrivals(sigmas[index], sigmas[index + 1]))
      nodes.append(.scaled(timestep, now))
      asked.append(timestep)
      let middle = (now * arrival).squareRoot()
      let time = middle > 0 ? table.timestep(of: middle) : 0
      nodes += [.scaled(time, middle), .end(.exploding(arrival))]
      if index < steps - 1 { asked.append(time) }
    }
    nodes.append(.end(.exploding(0)))
    return SamplingPlan(
      timesteps: asked, nodes: nodes, steps: timesteps.indices.map { (3 * $0, 3 * $0 + 3) },
      startScale: startScale(sigmas.max()!), solver: solver)
  }
}

/// Steps by the slope in the middle; behind a node come the middle and the level the slope leads to.
private struct MidpointSteps: Solver {
  let noise: NoiseSource

  func makeMemory() -> NoiseStream { NoiseStream(noise) }

  func step(
    _ x: Tensor, from t: Double, to s: Double, in field: ScheduledModel, memory: inout NoiseStream
  ) -> Tensor {
    let levels = [t, t + 1, t + 2, s].map { field.way[$0].kernel.sigma }
    let (now, middle, arrival, next) = (levels[0], levels[1], levels[2], levels[3])
    let data = field.denoise(x, at: t)
    guard next > 0 else { return data }
    let half = x + ((middle - now) / now) * (x - data)
    let slope = (half - field.denoise(half, at: t + 1)) / middle
    let end = x + (arrival - now) * slope
    return arrival < next ? end + (next * next - arrival * arrival).squareRoot() * memory.draw(like: x) : end
  }
}
