import ScorefieldFields
import ScorefieldTensorCore

/// Two Gaussians with a joint law, the straight lines between their points, and the flow that lines have on average.
///
///     (x₀, x₁) ~ N((m₀, m₁), [[Σ₀, C], [Cᵀ, Σ₁]]),   x_t = (1 − t) x₀ + t x₁
///     C_t = (1 − t)² Σ₀ + t² Σ₁ + t (1 − t)(C + Cᵀ)
///     v_t(x) = E[x₁ − x₀ | x_t = x] = m₁ − m₀ + K_t (x − m_t)
///     K_t = (t Σ₁ − (1 − t) Σ₀ + (1 − t) Cᵀ − t C) C_t⁻¹
///
/// - Cost: `O(d³)` per time.
///
/// Source: Liu, Gong & Liu 2023, arXiv:2209.03003, section 2.
public struct GaussianCoupling: VelocityField {
  /// The two laws, `[d]` and `[d, d]`, `float64`.
  public var source: (mean: Tensor, covariance: Tensor) { (first.mean, first.covariance) }
  public var target: (mean: Tensor, covariance: Tensor) { (second.mean, second.covariance) }
  /// `C = Cov(x₀, x₁)`, shape `[d, d]`.
  public let crossCovariance: Tensor

  private let first, second: Moments

  /// A joint law.
  ///
  /// - Parameters:
  ///   - source: The law at time 0: its mean, shape `[d]`, and covariance, shape `[d, d]`, positive definite.
  ///   - target: The law at time 1.
  ///   - crossCovariance: `Cov(x₀, x₁)`, shape `[d, d]`; zero, for independent ends, where left out.
  public init(
    from source: (mean: Tensor, covariance: Tensor), to target: (mean: Tensor, covariance: Tensor),
    crossCovariance: Tensor? = nil
  ) {
    self.init(Moments("GaussianCoupling", source), Moments("GaussianCoupling", target), crossCovariance)
  }

  private init(_ first: Moments, _ second: Moments, _ crossCovariance: Tensor?) {
    let cross = crossCovariance?.to(.float64) ?? .zeros(like: first.covariance)
    guard first.mean.shape == second.mean.shape, cross.shape == first.covariance.shape else {
      fatalError(
        "GaussianCoupling(\(first.covariance.shape), \(second.covariance.shape), crossCovariance: \(cross.shape)): "
          + "the shapes differ")
    }
    (self.first, self.second, self.crossCovariance) = (first, second, cross)
  }

  /// `E|x₁ − x₀|²`: the energy of the straight lines, no less than `W₂²`.
  public var cost: Double {
    shift.squared().sum().item + (first.covariance + second.covariance - 2 * crossCovariance).trace.item
  }

  /// The law at a time.
  public func law(at t: Double) -> (mean: Tensor, covariance: Tensor) {
    (
      (1 - t) * first.mean + t * second.mean,
      ((1 - t) * (1 - t)) * first.covariance + (t * t) * second.covariance
        + (t * (1 - t)) * (crossCovariance + crossCovariance.transposed)
    )
  }

  /// `K_t`, shape `[d, d]`.
  public func jacobian(at t: Double) -> Tensor {
    law(at: t).covariance.solve(rate(at: t).transposed).transposed
  }

  /// `v_t`, shape `[B, d]` in and out.
  public func velocity(_ x: Tensor, at t: Double) -> Tensor {
    guard x.rank == 2, x.shape[1] == first.mean.count else {
      fatalError("GaussianCoupling.velocity(\(x.shape)): needs points [B, \(first.mean.count)]")
    }
    return shift + (x.to(.float64) - law(at: t).mean).matmul(jacobian(at: t).transposed)
  }

  /// The gradient field with the same laws, of all fields that carry them the one of least action.
  ///
  ///     ṽ_t(x) = m₁ − m₀ + B_t (x − m_t),   B_t C_t + C_t B_t = Ċ_t,   B_t symmetric
  ///
  /// - Parameter t: The time.
  /// - Returns: `B_t`, shape `[d, d]`.
  public func gradientJacobian(at t: Double) -> Tensor {
    let (values, vectors) = law(at: t).covariance.eigh()
    let rate = rate(at: t)
    let turned = vectors.transposed.matmul(rate + rate.transposed).matmul(vectors)
    return vectors.matmul(turned / (values.expanded(at: 1) + values)).matmul(vectors.transposed)
  }

  /// `∫ E|v_t(x_t)|² dt`: the action of the averaged flow, between `W₂²` and ``cost``.
  public var action: Double { action(jacobian) }

  /// `∫ E|x₁ − x₀ − v_t(x_t)|² dt`: what a network that learns the flow cannot fit; zero where no two lines cross.
  public var loss: Double { cost - action }

  /// `Cov(x₁ − x₀, x_t)`; twice its symmetric part is the rate of `C_t`.
  private func rate(at t: Double) -> Tensor {
    t * second.covariance - (1 - t) * first.covariance + (1 - t) * crossCovariance.transposed - t * crossCovariance
  }

  func action(_ jacobian: (Double) -> Tensor) -> Double {
    let turning = overTime { t in
      let turn = jacobian(t)
      return turn.matmul(law(at: t).covariance).matmul(turn.transposed).trace.item
    }
    return shift.squared().sum().item + turning
  }

  private var shift: Tensor { second.mean - first.mean }
}
