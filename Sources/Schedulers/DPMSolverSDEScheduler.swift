import RealModule
import ScorefieldArrays
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// DPM-Solver++ (2S) for the reverse SDE as k-diffusion has it: an ancestral step to the middle, and one with the estimate there.
///
/// Both are driven by one Brownian motion in `σ`, so their noises share the first half.
struct DPMSolverSDEScheduler: SigmaScheduler {
  static let className = "DPMSolverSDEScheduler"
  let way: SigmaWay

  init(_ file: inout SchedulerFile) throws(ArrayFileError) {
    way = SigmaWay(
      table: try NoiseTable(&file, first: 0.00085, last: 0.012),
      spacing: try TimestepSpacing.Choice(&file, .linspace), levels: try SigmaSpacing.Choice(&file),
      prediction: try Prediction(&file, among: [.epsilon, .v]))
    // The noise comes from whoever samples.
    file.ignore("noise_sampler_seed")
  }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    let (timesteps, levels) = way.grid(steps)
    let sigmas = levels + [0]
    var (nodes, asked) = ([SchedulerNode](), [Double]())
    for (index, timestep) in timesteps.enumerated() {
      nodes.append(.scaled(timestep, sigmas[index]))
      asked.append(timestep)
      guard index < steps - 1 else { continue }
      let time = way.table.timestep(of: (levels[index] * levels[index + 1]).squareRoot())
      nodes.append(.scaled(time, (sigmas[index] * sigmas[index + 1]).squareRoot()))
      asked.append(time)
    }
    nodes.append(.end(.exploding(0)))
    let starts = timesteps.indices.map { 2 * $0 }
    return SamplingPlan(
      timesteps: asked, nodes: nodes, steps: zip(starts, starts.dropFirst() + [nodes.count - 1]).map { ($0, $1) },
      startScale: way.startScale(sigmas.max()!)
    ) { Steps(noise: $0) }
  }

  private struct Steps: Solver {
    let noise: NoiseSource

    func makeMemory() -> NoiseStream { NoiseStream(noise) }

    func step(
      _ x: Tensor, from t: Double, to s: Double, in field: ScheduledModel, memory: inout NoiseStream
    ) -> Tensor {
      let (now, next) = (field.way[t].kernel.sigma, field.way[s].kernel.sigma)
      let data = field.denoise(x, at: t)
      guard next > 0 else { return data }
      let middle = field.way[t + 1].kernel.sigma
      let (first, second) = (memory.draw(like: x), memory.draw(like: x))
      let half = ancestral(x, data, now, middle, first)
      let share = (now - middle) / (now - next)
      let whole = share.squareRoot() * first + (1 - share).squareRoot() * second
      return ancestral(x, field.denoise(half, at: t + 1), now, next, whole)
    }

    /// `(σ_s/σ_t)² x + (1 − (σ_s/σ_t)²) x̂₀ + σ_s √(1 − (σ_s/σ_t)²) ξ`.
    private func ancestral(_ x: Tensor, _ data: Tensor, _ now: Double, _ next: Double, _ noise: Tensor) -> Tensor {
      let kept = (next / now) * (next / now)
      return kept * x + (1 - kept) * data + (next * (1 - kept).squareRoot()) * noise
    }
  }
}
