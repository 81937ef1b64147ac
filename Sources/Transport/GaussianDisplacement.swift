import ScorefieldFields
import ScorefieldTensorCore

/// McCann's interpolation between two Gaussians: every point on its straight way, at its constant speed.
///
///     x_t = (1 − t) x + t T(x),   M_t = (1 − t) I + t A
///     m_t = (1 − t) m₀ + t m₁,    Σ_t = M_t Σ₀ M_t
///     v_t(x) = m₁ − m₀ + B_t (x − m_t),   B_t = (A − I) M_t⁻¹
///
/// The field of least action between the laws; `B_t` is symmetric, so it is a gradient at every time. Time runs from 0 at the
/// source to 1 at the target.
///
/// - Cost: `O(d³)` once, `O(B d²)` per evaluation.
///
/// Source: McCann 1997, doi:10.1006/aima.1997.1634; Benamou & Brenier 2000, doi:10.1007/s002110050002.
public struct GaussianDisplacement: VelocityField {
  public let transport: GaussianTransport
  /// `A = Q diag(λ) Qᵀ`.
  private let stretches, axes: Tensor

  public init(_ transport: GaussianTransport) {
    self.transport = transport
    (stretches, axes) = transport.matrix.eigh()
  }

  /// The law at a time.
  public func law(at t: Double) -> (mean: Tensor, covariance: Tensor) {
    let path = along(1 + t * (stretches - 1))
    return (mean(at: t), path.matmul(transport.first.covariance).matmul(path))
  }

  /// Where the points that start at `x` are, shape `[B, d]` in and out.
  public func displaced(_ x: Tensor, at t: Double) -> Tensor {
    mean(at: t) + transport.checked("displaced", x).matmul(along(1 + t * (stretches - 1)))
  }

  /// `B_t`, shape `[d, d]`.
  ///
  /// At `t = 1` the map must have an inverse.
  public func jacobian(at t: Double) -> Tensor {
    let lengths = 1 + t * (stretches - 1)
    guard (lengths .> 0).all() else {
      fatalError("GaussianDisplacement.jacobian(at: \(t)): points meet there, or time is not between 0 and 1")
    }
    return along((stretches - 1) / lengths)
  }

  public func velocity(_ x: Tensor, at t: Double) -> Tensor {
    guard x.rank == 2, x.shape[1] == stretches.count else {
      fatalError("GaussianDisplacement.velocity(\(x.shape)): needs points [B, \(stretches.count)]")
    }
    return transport.second.mean - transport.first.mean + (x.to(.float64) - mean(at: t)).matmul(jacobian(at: t))
  }

  /// `E|v_t|²` under the law at a time, which is `W₂²` at every time.
  public func action(at t: Double) -> Double {
    let turn = jacobian(at: t)
    return (transport.second.mean - transport.first.mean).squared().sum().item
      + turn.matmul(law(at: t).covariance).matmul(turn).trace.item
  }

  private func mean(at t: Double) -> Tensor { (1 - t) * transport.first.mean + t * transport.second.mean }

  private func along(_ values: Tensor) -> Tensor { (axes * values).matmul(axes.transposed) }
}
