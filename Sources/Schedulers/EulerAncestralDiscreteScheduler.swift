import ScorefieldArrays
import ScorefieldPaths
import ScorefieldSolvers

/// Euler's method with fresh noise, which is the ancestral sampler for `x/α`.
struct EulerAncestralDiscreteScheduler: SigmaScheduler {
  static let className = "EulerAncestralDiscreteScheduler"
  let way: SigmaWay

  init(_ file: inout SchedulerFile) throws(ArrayFileError) {
    way = SigmaWay(
      table: try NoiseTable(&file, rescalable: true, smallest: 0x1p-24),
      spacing: try TimestepSpacing.Choice(&file, .linspace), levels: .asTheyAre,
      prediction: try Prediction(&file, among: [.epsilon, .v]))
  }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    let (timesteps, sigmas) = way.grid(steps)
    let nodes = zip(timesteps, sigmas).map { SchedulerNode.scaled($0, $1) } + [.end(.exploding(0))]
    return SamplingPlan(along: nodes, startScale: way.startScale(sigmas.max()!)) {
      OnNodes(AncestralSampler(noise: $0))
    }
  }
}
