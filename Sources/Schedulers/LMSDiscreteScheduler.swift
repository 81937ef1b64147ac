import ScorefieldArrays
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// The linear multistep method of k-diffusion: the polynomial through the last four slopes, integrated over the step.
struct LMSDiscreteScheduler: SigmaScheduler {
  static let className = "LMSDiscreteScheduler"
  let way: SigmaWay

  init(_ file: inout SchedulerFile) throws(ArrayFileError) {
    way = SigmaWay(
      table: try NoiseTable(&file), spacing: try TimestepSpacing.Choice(&file, .linspace),
      levels: try SigmaSpacing.Choice(&file), prediction: try Prediction(&file))
  }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    let (timesteps, sigmas) = way.grid(steps)
    let nodes = zip(timesteps, sigmas).map { SchedulerNode.scaled($0, $1) } + [.end(.exploding(0))]
    return SamplingPlan(along: nodes, startScale: way.startScale(sigmas.max()!)) { _ in Steps() }
  }

  private struct Steps: Solver {
    /// The last slopes and their levels, the newest first.
    typealias Memory = [Slope]
    struct Slope: Sendable {
      let sigma: Double
      let value: Tensor
    }

    func makeMemory() -> [Slope] { [] }

    func step(_ x: Tensor, from t: Double, to s: Double, in field: ScheduledModel, memory: inout [Slope]) -> Tensor {
      let (now, next) = (field.way[t].kernel.sigma, field.way[s].kernel.sigma)
      memory = [Slope(sigma: now, value: (x - field.denoise(x, at: t)) / now)] + memory.prefix(3)
      let sigmas = memory.map(\.sigma)
      return zip(sigmas.indices, memory).reduce(x) { sum, slope in
        sum + integral(of: slope.0, through: sigmas, from: now, to: next) * slope.1.value
      }
    }

    /// `∫ ℓ_j` of Lagrange's polynomial through the points, by Simpson's rule, which is exact to degree 3.
    private func integral(of j: Int, through points: [Double], from a: Double, to b: Double) -> Double {
      func value(_ u: Double) -> Double {
        points.indices.reduce(1) { $1 == j ? $0 : $0 * (u - points[$1]) / (points[j] - points[$1]) }
      }
      return (b - a) / 6 * (value(a) + 4 * value((a + b) / 2) + value(b))
    }
  }
}
