import ScorefieldArrays
import ScorefieldPaths
import ScorefieldSolvers

/// Heun's method for `x/α` in `σ/α`, with one call in the last step.
struct HeunDiscreteScheduler: SigmaScheduler {
  static let className = "HeunDiscreteScheduler"
  let way: SigmaWay
  let limit: EstimateLimit

  init(_ file: inout SchedulerFile) throws(ArrayFileError) {
    way = SigmaWay(
      table: try NoiseTable(
        &file, first: 0.00085, last: 0.012, shapes: [.linear, .scaledLinear, .cosine, .exponential]),
      spacing: try TimestepSpacing.Choice(&file, .linspace), levels: try SigmaSpacing.Choice(&file),
      prediction: try Prediction(&file))
    limit = try EstimateLimit(&file, clips: false, thresholds: false)
  }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    let (timesteps, sigmas) = way.grid(steps)
    let nodes = zip(timesteps, sigmas).map { SchedulerNode.scaled($0, $1) } + [.end(.exploding(0))]
    return SamplingPlan(
      timesteps: [timesteps[0]] + timesteps.dropFirst().flatMap { [$0, $0] }, nodes: nodes,
      steps: timesteps.indices.map { ($0, $0 + 1) }, startScale: way.startScale(sigmas.max()!)
    ) { _ in OnNodes(StochasticHeun()) }
  }
}
