import RealModule
import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// Multistep consistency sampling: the estimate, and noise up to the next level.
///
///     x̂₀ = c_skip x + c_out F,   x_s = x̂₀ + √(σ_s² − σ_min²) S_noise ξ
///     c_skip = σ_d²/((σ − σ_min)² + σ_d²),   c_out = (σ − σ_min) σ_d/√(σ² + σ_d²)
///
/// Source: Song et al. 2023, arXiv:2303.01469, algorithm 1 and appendix C.
struct CMStochasticIterativeScheduler: DiffusersScheduler {
  static let className = "CMStochasticIterativeScheduler"
  let count: Int
  let smallest, largest, sigmaData, noiseScale, rho: Double
  let clips: Bool

  init(_ file: inout SchedulerFile) throws(ArrayFileError) {
    count = try file.count("num_train_timesteps", 40, in: 2...1_000_000)
    smallest = try file.number("sigma_min", 0.002, in: 1e-9...1e9)
    largest = try file.number("sigma_max", 80, in: 1e-9...1e9)
    sigmaData = try file.number("sigma_data", 0.5, in: 1e-9...1e9)
    noiseScale = try file.number("s_noise", 1, in: 0...1e9)
    rho = try file.number("rho", 7, in: 1e-3...1e3)
    clips = try file.flag("clip_denoised", true)
  }

  var head: Head { .edm(sigmaData: sigmaData) }
  var clock: ModelClock { .logarithm(250, sigmaData: sigmaData) }
  var steps: ClosedRange<Int> { 1...count }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    let ratio = count / steps
    let (first, last) = (Double.pow(largest, 1 / rho), Double.pow(smallest, 1 / rho))
    let levels = (0..<steps).map { Double.pow(first + Double($0 * ratio) / Double(count - 1) * (last - first), rho) }
    let nodes = levels.map { sigma in
      SchedulerNode(
        250 * .log(sigma), .exploding(sigma),
        inputScale: 1 / (sigma * sigma + sigmaData * sigmaData).squareRoot())
    }
    let end = SchedulerNode.end(.exploding(smallest))
    let scheduler = self
    return SamplingPlan(along: nodes + [end], startScale: largest) {
      Steps(scheduler: scheduler, noise: $0)
    }
  }

  private struct Steps: Solver {
    let scheduler: CMStochasticIterativeScheduler
    let noise: NoiseSource

    func makeMemory() -> NoiseStream { NoiseStream(noise) }

    func step(
      _ x: Tensor, from t: Double, to s: Double, in field: ScheduledModel, memory: inout NoiseStream
    ) -> Tensor {
      let (now, data, smallest) = (field.way[t].kernel.sigma, scheduler.sigmaData, scheduler.smallest)
      let above = now - smallest
      let skip = data * data / (above * above + data * data)
      let out = above * data / (now * now + data * data).squareRoot()
      let found = out * field.output(x, at: t) + skip * x
      let estimate = scheduler.clips ? found.clamped(-1, 1) : found
      field.record.keep(estimate)
      let next = Swift.min(Swift.max(field.way[s].kernel.sigma, smallest), scheduler.largest)
      let added = (next - smallest) * (next + smallest)
      guard added > 0 else { return estimate }
      return estimate + (scheduler.noiseScale * added.squareRoot()) * memory.draw(like: x)
    }
  }
}
