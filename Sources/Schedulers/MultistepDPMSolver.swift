import ScorefieldArrays
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// DPM-Solver in multistep form as diffusers has it, of an order for each step.
///
///     D₁ = D₁₀ + r₀/(r₀ + r₁) (D₁₀ − D₁₁),   D₂ = (D₁₀ − D₁₁)/(r₀ + r₁),   D₁ᵢ = (m_i − m_{i+1})/rᵢ
///
/// The published third order means `2 (D₁₀ − D₁₁)/(r₀ + r₁)` by `D₂`: without the 2 it is of order 2.
struct MultistepDPMSolver: Solver {
  let algorithm: DPMSolverAlgorithm
  let completion: DPMSolverAlgorithm.Completion
  /// Of each step.
  let orders: [Int]
  let noise: NoiseSource

  struct Memory: Sendable {
    var noise: NoiseStream
    var step = 0
    /// Estimates and their `λ`, the newest first.
    var estimates: [(value: Tensor, halfLogSNR: Double)] = []
  }

  func makeMemory() -> Memory { Memory(noise: NoiseStream(noise)) }

  func step(_ x: Tensor, from t: Double, to s: Double, in field: ScheduledModel, memory: inout Memory) -> Tensor {
    let (now, next) = (field.way[t].kernel, field.way[s].kernel)
    memory.estimates = [(algorithm.estimate(x, at: t, in: field), now.halfLogSNR)] + memory.estimates.prefix(2)
    defer { memory.step += 1 }
    let weights = algorithm.weights(completion, from: now, to: next)
    let (order, m) = (orders[memory.step], memory.estimates)
    var end = weights.state * x + weights.value * m[0].value
    let h = next.halfLogSNR - now.halfLogSNR
    // A step of no length has no differences either.
    if order > 1, h != 0 {
      let first = (h / (m[0].halfLogSNR - m[1].halfLogSNR)) * (m[0].value - m[1].value)
      if order == 2 {
        end += weights.slope * first
      } else {
        let r0 = (m[0].halfLogSNR - m[1].halfLogSNR) / h
        let r1 = (m[1].halfLogSNR - m[2].halfLogSNR) / h
        let bend = first - (1 / r1) * (m[1].value - m[2].value)
        // The third order knows one completion.
        let slope = algorithm.weights(.heun, from: now, to: next).slope
        end += slope * (first + (r0 / (r0 + r1)) * bend)
        end += (weights.curvature / (r0 + r1)) * bend
      }
    }
    guard algorithm.isStochastic else { return end }
    let draw = memory.noise.draw(like: x)
    return weights.noise == 0 ? end : end + weights.noise * draw
  }
}

extension DPMSolverAlgorithm {
  /// The estimate that is extrapolated.
  func estimate(_ x: Tensor, at t: Double, in field: ScheduledModel) -> Tensor {
    predictsData ? field.denoise(x, at: t) : field.consistentEstimate(x, at: t).noise
  }
}
