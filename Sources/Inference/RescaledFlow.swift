import RealModule
import ScorefieldArrays
import ScorefieldFields
import ScorefieldFisher
import ScorefieldPaths
import ScorefieldTensorCore

/// The probability flow of `x̄ = x/α` in `κ = log(σ/α)`, and beside it what the log-density gains along the way.
///
///     dx̄/dκ = x̄ − x̂₀(α x̄, t),   dc/dκ = (σ²/d) tr F(α x̄, t)
///
/// In these coordinates every schedule has the same flow and no rate of it ever occurs. The state is `[B, d + columns]` in
/// `float64`, whatever the samples are: it is a long sum of small things.
package struct RescaledFlow: VelocityField {
  package let denoiser: any Denoiser
  /// The denoiser with its trace, one row per column of the state, `[columns, B]`; nil where there are no columns.
  private let traced: (any TracedDenoiser)?
  /// The shape of one sample, and the element type the denoiser is asked in.
  package let pointShape: [Int]
  package let elementType: ElementType
  /// The times between which the flow is used, and their `κ`.
  package let from, to: Double
  package let start, end: Double

  /// The flow of the points alone.
  package init(_ denoiser: any Denoiser, samples x: Tensor, from: Double, to: Double) {
    self.init(denoiser, traced: nil, samples: x, from: from, to: to)
  }

  /// The flow with the log-density's gain.
  init(traced model: any TracedDenoiser, samples x: Tensor, from: Double, to: Double) {
    self.init(model, traced: model, samples: x, from: from, to: to)
  }

  private init(
    _ denoiser: any Denoiser, traced: (any TracedDenoiser)?, samples x: Tensor, from: Double, to: Double
  ) {
    guard x.rank >= 1, x.elementType == .float64 || x.elementType == .float32 else {
      fatalError("probability flow(\(x.shape) \(x.elementType.rawValue)): needs [B, …] of float32 or float64")
    }
    (self.denoiser, self.traced, self.from, self.to) = (denoiser, traced, from, to)
    (pointShape, elementType) = (Array(x.shape.dropFirst()), x.elementType)
    start = -denoiser.schedule.kernel(at: from).halfLogSNR
    end = -denoiser.schedule.kernel(at: to).halfLogSNR
  }

  package var dimension: Int { pointShape.reduce(1, *) }

  /// The time of a `κ`; the ends exactly.
  package func time(at kappa: Double) -> Double {
    if kappa == start { return from }
    if kappa == end { return to }
    let time = denoiser.schedule.time(atHalfLogSNR: -kappa)
    return min(max(time, min(from, to)), max(from, to))
  }

  /// The state at `from`, without columns.
  package func rescaled(_ x: Tensor) -> Tensor {
    x.to(.float64).flattened / denoiser.schedule.kernel(at: from).alpha
  }

  /// The points `x` of a state at a `κ`, `[B, …]`.
  package func points(_ state: Tensor, at kappa: Double) -> Tensor {
    points(state, denoiser.schedule.kernel(at: time(at: kappa)))
  }

  private func points(_ state: Tensor, _ kernel: PerturbationKernel) -> Tensor {
    let rescaled = state.narrowed(1, from: 0, count: dimension)
    return (kernel.alpha * rescaled).reshaped([state.batch] + pointShape).to(elementType)
  }

  package func velocity(_ state: Tensor, at kappa: Double) -> Tensor {
    let time = time(at: kappa)
    let kernel = denoiser.schedule.kernel(at: time)
    let x = points(state, kernel)
    let rescaled = state.narrowed(1, from: 0, count: dimension)
    guard let traced else { return rescaled - denoiser.denoise(x, at: time).to(.float64).flattened }
    let (data, traces) = traced.denoiseWithTraces(x, at: time)
    let velocity = rescaled - data.to(.float64).flattened
    let rates = (kernel.sigma * kernel.sigma / Double(dimension)) * traces.to(.float64).transposed
    return .concatenated([velocity, rates], 1)
  }
}
