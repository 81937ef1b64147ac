import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// Heun's method on the straight path, in `σ` and with the model's velocity; the last step is Euler's.
struct FlowMatchHeunDiscreteScheduler: DiffusersScheduler {
  static let className = "FlowMatchHeunDiscreteScheduler"
  let way: StraightWay

  init(_ file: inout SchedulerFile) throws(ArrayFileError) { way = try StraightWay(&file) }

  var head: Head { .velocity }
  var clock: ModelClock { .flow(way.count) }
  var steps: ClosedRange<Int> { 1...100_000 }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    let nodes = way.nodes(way.sigmas(steps))
    let timesteps = nodes.dropLast().map(\.timestep)
    return SamplingPlan(
      timesteps: [timesteps[0]] + timesteps.dropFirst().flatMap { [$0, $0] }, nodes: nodes,
      steps: timesteps.indices.map { ($0, $0 + 1) }
    ) { _ in Steps() }
  }

  private struct Steps: Solver {
    func step(_ x: Tensor, from t: Double, to s: Double, in field: ScheduledModel, memory: inout NoMemory) -> Tensor {
      let (now, next) = (field.way[t].kernel.sigma, field.way[s].kernel.sigma)
      let slope = field.output(x, at: t)
      field.record.keep(x - now * slope)
      let predicted = x + (next - now) * slope
      guard next > 0 else { return predicted }
      return x + (0.5 * (next - now)) * (slope + field.output(predicted, at: s))
    }
  }
}
