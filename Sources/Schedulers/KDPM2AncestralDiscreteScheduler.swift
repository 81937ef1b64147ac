import ScorefieldArrays
import ScorefieldSolvers

/// The second-order method of k-diffusion with fresh noise: it goes below the next level, and noise leads back.
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
