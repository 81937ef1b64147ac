import ScorefieldArrays
import ScorefieldSolvers

/// The second-order method of k-diffusion: a step by the slope at the geometric middle of its levels.
struct KDPM2DiscreteScheduler: SigmaScheduler {
  static let className = "KDPM2DiscreteScheduler"
  let way: SigmaWay

  init(_ file: inout SchedulerFile) throws(ArrayFileError) { way = try SigmaWay(midpoint: &file) }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    way.midpointPlan(steps, arrivals: { $1 }) { MidpointSteps(noise: $0) }
  }
}
