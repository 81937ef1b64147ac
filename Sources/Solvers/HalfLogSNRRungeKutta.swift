import ScorefieldFields
import ScorefieldTensorCore

/// An explicit Runge–Kutta method with `λ = log(α/σ)` for its time.
///
///     dx/dλ = (d log α/dλ) x − σ ε̂ = v / (dλ/dt)
///
/// - Order: The tableau's. One denoiser evaluation per stage.
///
/// Source: Lu et al. 2022, arXiv:2206.00927, eq. 3.2, for the change of time.
public struct HalfLogSNRRungeKutta: Solver {
  public let tableau: RungeKutta.Tableau

  public init(_ tableau: RungeKutta.Tableau) { self.tableau = tableau }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout NoMemory
  ) -> Tensor {
    let (now, next) = (field.schedule.kernel(at: t), field.schedule.kernel(at: s))
    let (begin, end) = (now.halfLogSNR, next.halfLogSNR)
    guard begin.isFinite, end.isFinite else {
      return exactForConstantData(x, field.denoise(x, at: t), from: now, to: next)
    }
    let flow = HalfLogSNRFlow(denoiser: field, ends: [(begin, t), (end, s)])
    let slopes = tableau.slopes(x, from: begin, to: end, in: flow, first: flow.velocity(x, at: begin))
    return combination(x, end - begin, tableau.b, slopes)
  }
}

/// The probability flow in `λ`.
private struct HalfLogSNRFlow: VelocityField {
  let denoiser: any Denoiser
  /// Times that are known, so that a step's ends are met exactly.
  let ends: [(halfLogSNR: Double, time: Double)]

  func velocity(_ x: Tensor, at lambda: Double) -> Tensor {
    let schedule = denoiser.schedule
    let time = ends.first { $0.halfLogSNR == lambda }?.time ?? schedule.time(atHalfLogSNR: lambda)
    let kernel = schedule.kernel(at: time)
    // v = (σ̇/σ) x + α (α̇/α − σ̇/σ) x̂₀, and dλ/dt is the last bracket.
    let data = denoiser.denoise(x, at: time)
    return .combination([(-kernel.sigmaRate / (kernel.sigma * kernel.logRatioRate), x), (kernel.alpha, data)])
  }
}

extension Solver where Self == HalfLogSNRRungeKutta {
  /// Heun's method in `λ`.
  ///
  /// - Order: 2. Two denoiser evaluations per step.
  public static var heunInHalfLogSNR: Self { Self(.init(a: [[1]], b: [0.5, 0.5])) }
}
