import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// Ends that a flow pairs, and how straight it went from one to the other.
public struct RectifiedCoupling: Sendable {
  /// `R`: the flow carries `x₀` to `m₁ + R (x₀ − m₀)`; shape `[d, d]`.
  public let matrix: Tensor
  /// The joint law of where points start and where they end.
  public let coupling: GaussianCoupling
  /// `∫ E|z₁ − z₀ − ż_t|² dt` of the flow's paths: zero where they are straight and evenly run.
  public let straightness: Double
}

extension GaussianCoupling {
  /// The ends of the averaged flow: the same two laws, paired at no larger cost.
  ///
  /// For independent ends `R = (Σ₁ Σ₀⁻¹)^½`. A pairing by a linear map whose lines do not cross is its own rectification, be it
  /// the best one or not: a loss of zero does not make a map optimal.
  ///
  /// - Parameter steps: Of the fourth-order Runge–Kutta method.
  /// - Returns: The new pairing.
  ///
  /// Source: Liu, Gong & Liu 2023, arXiv:2209.03003, theorems 3.3 and 3.5.
  public func rectified(steps: Int = 256) -> RectifiedCoupling { carried(steps, jacobian) }

  /// The ends of the gradient field with the same laws; repeated, the pairing of Gaussians comes to the best one.
  ///
  /// - Parameter steps: Of the fourth-order Runge–Kutta method.
  /// - Returns: The new pairing.
  ///
  /// Source: Liu 2022, arXiv:2209.14577; its limits are those of Hertrich, Chambolle & Delon 2025, arXiv:2505.19712.
  public func gradientRectified(steps: Int = 256) -> RectifiedCoupling { carried(steps, gradientJacobian) }

  private func carried(_ steps: Int, _ jacobian: @escaping @Sendable (Double) -> Tensor) -> RectifiedCoupling {
    let dimension = source.mean.count
    let flow = LinearFlow(jacobian: jacobian)
    let grid = TimeGrid((0...steps).map { Double($0) / Double(steps) })
    let matrix = integrate(.identity(dimension), along: grid, with: .rk4, in: flow).transposed
    let joint = GaussianCoupling(
      from: source, to: target, crossCovariance: source.covariance.matmul(matrix.transposed))
    // The mean velocity of a path is z₁ − z₀, so what ż has beside it is a variance.
    return RectifiedCoupling(matrix: matrix, coupling: joint, straightness: action(jacobian) - joint.cost)
  }
}

/// `dz/dt = K_t z` for rows `z`.
private struct LinearFlow: VelocityField {
  let jacobian: @Sendable (Double) -> Tensor

  func velocity(_ x: Tensor, at t: Double) -> Tensor { x.matmul(jacobian(t).transposed) }
}
