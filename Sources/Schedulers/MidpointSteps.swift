import ScorefieldArrays
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// Steps by the slope in the middle; behind a node come the middle and the level the slope leads to.
struct MidpointSteps: Solver {
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

extension SigmaWay {
  init(midpoint file: inout SchedulerFile) throws(ArrayFileError) {
    self.init(
      table: try NoiseTable(&file, first: 0.00085, last: 0.012),
      spacing: try TimestepSpacing.Choice(&file, .linspace), levels: try SigmaSpacing.Choice(&file),
      prediction: try Prediction(&file, among: [.epsilon, .v]), roundsKarras: true)
  }

  /// A way with a node in the middle of each step but the last, and one where its slope leads.
  func midpointPlan(
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
