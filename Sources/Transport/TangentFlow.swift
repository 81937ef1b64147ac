import ScorefieldFields
import ScorefieldFisher
import ScorefieldInference
import ScorefieldTensorCore

/// The rescaled flow with tangents beside it: the fundamental matrix, as far as it is asked for.
///
///     dx̄/dκ = x̄ − x̂₀(α x̄, t),   dv/dκ = σ² F(α x̄, t) v,   x̄ = x/α,   κ = log(σ/α)
///
/// The state is `[B, d + n d]` in `float64`, one tangent after another. Backwards and with the transposed product the tangents
/// are cotangents: `dλ/dκ = −σ² Fᵀ λ`.
struct TangentFlow<Access: FisherAccess>: VelocityField where Access.Operator: FisherMatvec {
  let flow: RescaledFlow
  let fisher: Access
  let count: Int
  /// 1 for tangents, −1 for cotangents.
  let sign: Double

  init(_ flow: RescaledFlow, _ fisher: Access, count: Int, sign: Double = 1) {
    (self.flow, self.fisher, self.count, self.sign) = (flow, fisher, count, sign)
  }

  func velocity(_ state: Tensor, at kappa: Double) -> Tensor {
    let time = flow.time(at: kappa)
    let sigma = flow.denoiser.schedule.kernel(at: time).sigma
    let points = state.narrowed(1, from: 0, count: flow.dimension)
    let block = tangents(of: state).reshaped([count, state.batch] + flow.pointShape).to(flow.elementType)
    let products = fisher.fisher(at: flow.points(state, at: kappa), time: time).boundedMatvecs(block).vectors
    let rates = (sign * sigma * sigma) * products.to(.float64).swapped(0, 1).reshaped([state.batch, -1])
    return .concatenated([flow.velocity(points, at: kappa), rates], 1)
  }

  /// A state of points `[B, d]` and tangents `[n, B, d]`.
  func state(_ points: Tensor, _ tangents: Tensor) -> Tensor {
    .concatenated([points, tangents.swapped(0, 1).reshaped([points.batch, -1])], 1)
  }

  func points(of state: Tensor) -> Tensor { state.narrowed(1, from: 0, count: flow.dimension) }

  /// The tangents of a state, `[n, B, d]`.
  func tangents(of state: Tensor) -> Tensor {
    state.narrowed(1, from: flow.dimension, count: count * flow.dimension)
      .reshaped([state.batch, count, flow.dimension]).swapped(0, 1)
  }
}
