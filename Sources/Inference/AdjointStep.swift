import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// A deterministic step along the probability flow, and how a gradient goes back through it.
///
/// The estimates `x̂₀` are all that a step asks of a model, so what goes back is known once `(∂x̂₀/∂x)ᵀ η` is, wherever the step asked.
public protocol AdjointStep: Sendable {
  /// The state at `s`, shape `[B, …]`, from that at `t`.
  func advance(_ x: Tensor, from t: Double, to s: Double, under denoiser: any Denoiser) -> Tensor
  /// The gradient with respect to the state at `t` from that with respect to the state at `s`: the discrete adjoint of the step.
  ///
  /// - Parameters:
  ///   - gradient: `∂L/∂x_s`, shape `[B, …]`.
  ///   - x: The state at `t`.
  ///   - t: The time it is at.
  ///   - s: The time the step led to.
  ///   - denoiser: The model.
  ///   - response: `(∂x̂₀/∂x)ᵀ η` at a point and a time.
  /// - Returns: `∂L/∂x_t`, shape `[B, …]`.
  func pullback(
    _ gradient: Tensor, at x: Tensor, from t: Double, to s: Double, under denoiser: any Denoiser,
    response: (_ x: Tensor, _ t: Double, _ eta: Tensor) -> Tensor
  ) -> Tensor
}

extension DDIM: AdjointStep {
  public func advance(_ x: Tensor, from t: Double, to s: Double, under denoiser: any Denoiser) -> Tensor {
    var memory = NoMemory()
    return step(x, from: t, to: s, in: denoiser, memory: &memory)
  }

  /// `x_s = (σ_s/σ_t) x + (α_s − α_t σ_s/σ_t) x̂₀(x)`.
  public func pullback(
    _ gradient: Tensor, at x: Tensor, from t: Double, to s: Double, under denoiser: any Denoiser,
    response: (_ x: Tensor, _ t: Double, _ eta: Tensor) -> Tensor
  ) -> Tensor {
    let (now, next) = (denoiser.schedule.kernel(at: t), denoiser.schedule.kernel(at: s))
    let kept = next.sigma / now.sigma
    return kept * gradient + response(x, t, (next.alpha - kept * now.alpha) * gradient)
  }
}

extension RungeKutta: AdjointStep {
  public func advance(_ x: Tensor, from t: Double, to s: Double, under denoiser: any Denoiser) -> Tensor {
    var memory = NoMemory()
    return step(x, from: t, to: s, in: ProbabilityFlow(denoiser), memory: &memory)
  }

  /// Stage by stage from the last; the stages are computed anew, and nothing but the state is kept.
  ///
  ///     v = (σ̇/σ) x + (α̇ − σ̇ α/σ) x̂₀(x),   μᵢ = h (bᵢ λ_s + Σⱼ aⱼᵢ wⱼ),   wᵢ = (∂v/∂x)ᵀ μᵢ,   λ_t = λ_s + Σᵢ wᵢ
  public func pullback(
    _ gradient: Tensor, at x: Tensor, from t: Double, to s: Double, under denoiser: any Denoiser,
    response: (_ x: Tensor, _ t: Double, _ eta: Tensor) -> Tensor
  ) -> Tensor {
    let h = s - t
    let flow = ProbabilityFlow(denoiser)
    let (points, times) = tableau.stagePoints(x, from: t, to: s, in: flow)
    var pulled: [Tensor] = []  // wⱼ of the stages behind, the last first
    for stage in (0..<tableau.stages).reversed() {
      var mu = (h * tableau.b[stage]) * gradient
      for (offset, w) in pulled.enumerated() {
        let later = tableau.stages - 1 - offset
        let weight = tableau.a[later - 1][stage]
        if weight != 0 { mu += (h * weight) * w }
      }
      let kernel = denoiser.schedule.kernel(at: times[stage])
      let noiseRate = kernel.sigmaRate / kernel.sigma
      pulled.append(
        noiseRate * mu + response(points[stage], times[stage], (kernel.alphaRate - noiseRate * kernel.alpha) * mu))
    }
    return pulled.reduce(gradient, +)
  }
}
