import ScorefieldTensorCore

/// The best map from one Gaussian to another for the squared distance, and the distance of Bures and Wasserstein.
///
///     T(x) = m₁ + A (x − m₀) = ∇ψ(x),   A = Σ₀^-½ (Σ₀^½ Σ₁ Σ₀^½)^½ Σ₀^-½
///     W₂²  = |m₀ − m₁|² + tr(Σ₀ + Σ₁ − 2 (Σ₀^½ Σ₁ Σ₀^½)^½)
///
/// Both come from the singular vectors `Σ₁^½ Σ₀^½ = U S Vᵀ`: `A = Σ₁^½ U S⁻¹ Uᵀ Σ₁^½`, with no inverse of `Σ₀`, and `W₂²` is
/// `|m₀ − m₁|² + |Σ₀^½ − V Uᵀ Σ₁^½|²`, in which nothing cancels where the laws are near each other.
///
/// Where `Σ₀` is singular, to rounding, there need be no map. `A` is then that of the mean of where a point goes in a best
/// plan, `W₂²` is still right, and ``pushforwardError`` is no longer zero.
///
/// - Cost: `O(d³)` once, `O(B d²)` per map.
///
/// Source: Gelbrich 1990, doi:10.1002/mana.19901470121; Peyré & Cuturi 2019, arXiv:1803.00567, remark 2.31.
public struct GaussianTransport: Sendable {
  /// The two laws, `[d]` and `[d, d]`, `float64`.
  public var source: (mean: Tensor, covariance: Tensor) { (first.mean, first.covariance) }
  public var target: (mean: Tensor, covariance: Tensor) { (second.mean, second.covariance) }
  /// `A`, symmetric and positive semidefinite, shape `[d, d]`.
  public let matrix: Tensor
  /// `W₂²`, in squared units of the points.
  public let squaredDistance: Double
  /// `|A Σ₀ A − Σ₁|/|Σ₁|`: by how much the map misses the target's covariance.
  public let pushforwardError: Double

  let first, second: Moments

  /// The map from one law to another.
  ///
  /// - Parameters:
  ///   - source: The law to start from: its mean, shape `[d]`, and covariance, shape `[d, d]`, positive semidefinite.
  ///   - target: The law to reach.
  public init(from source: (mean: Tensor, covariance: Tensor), to target: (mean: Tensor, covariance: Tensor)) {
    self.init(Moments("GaussianTransport", source), Moments("GaussianTransport", target))
  }

  init(_ first: Moments, _ second: Moments) {
    guard first.mean.shape == second.mean.shape else {
      fatalError("GaussianTransport(\(first.mean.shape), \(second.mean.shape)): the laws have different dimensions")
    }
    (self.first, self.second) = (first, second)
    let (u, s, v) = second.root.matmul(first.root).svd()
    let negligible = Double(first.mean.count) * 0x1p-52 * s.max().item
    let gains = s.reciprocal().sqrt().replacing(with: 0, where: s .<= negligible)
    let factor = second.root.matmul(u) * gains
    matrix = factor.matmul(factor.transposed)
    squaredDistance =
      (first.mean - second.mean).squared().sum().item
      + (first.root - v.transposed.matmul(u.transposed).matmul(second.root)).squared().sum().item
    let reached = matrix.matmul(first.covariance).matmul(matrix)
    let scale = second.covariance.norm().item
    pushforwardError = (reached - second.covariance).norm().item / (scale > 0 ? scale : 1)
  }

  /// The map back, which is the inverse of this one where neither covariance is singular.
  public var inverse: GaussianTransport { GaussianTransport(second, first) }

  /// `T(x)`, shape `[B, d]` in and out.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    second.mean + checked("callAsFunction", x).matmul(matrix)
  }

  /// The convex `ψ` of which the map is the gradient.
  ///
  ///     ψ(x) = ½ (x − m₀)ᵀ A (x − m₀) + m₁ᵀ x
  ///
  /// - Parameter x: Points, shape `[B, d]`.
  /// - Returns: Shape `[B]`.
  public func potential(_ x: Tensor) -> Tensor {
    let deviation = checked("potential", x)
    return 0.5 * deviation.dot(deviation.matmul(matrix)) + x.to(.float64).dot(second.mean)
  }

  /// How far the map is from the equation of Monge and Ampère, in nats.
  ///
  ///     log p₁(T(x)) + log det A − log p₀(x)
  ///
  /// - Parameter x: Points, shape `[B, d]`; neither covariance may be singular.
  /// - Returns: Shape `[B]`; zero for the best map.
  public func mongeAmpereResidual(at x: Tensor) -> Tensor {
    let change = matrix.logDeterminant().logMagnitude
    return second.logDensity(self(x)) + change - first.logDensity(first.mean + checked("mongeAmpereResidual", x))
  }

  /// `x − m₀`.
  func checked(_ operation: String, _ x: Tensor) -> Tensor {
    guard x.rank == 2, x.shape[1] == first.mean.count else {
      fatalError("GaussianTransport.\(operation)(\(x.shape)): needs points [B, \(first.mean.count)]")
    }
    return x.to(.float64) - first.mean
  }
}
