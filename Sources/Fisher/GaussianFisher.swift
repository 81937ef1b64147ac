import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// The Fisher of the normal distribution with the data's covariance `S = U diag(λ) Uᵀ`.
///
///     F = (α² S + σ² I)⁻¹ = (I − U diag(α²λ/(α²λ + σ²)) Uᵀ)/σ²
///
/// The same at every point. The best that knows only second moments; on images it leads where `σ/α` exceeds the data's extent.
///
/// - Cost: Once, a factorisation in `O(N d min(N, d))` with the eigenvectors of a matrix of the smaller size; then `O(B r d)`
///   per product with `r ≤ min(N, d)`, and nothing of the denoiser.
///
/// Source: Wang & Vastola 2024, arXiv:2412.09726, the linear score.
public struct GaussianFisher: FisherAccess {
  public let schedule: any NoiseSchedule
  /// Eigenvalues of the covariance, `[r]`, and its eigenvectors as rows, `[r, d]`.
  private let variances, directions: Tensor

  /// The normal distribution nearest to a data set.
  ///
  /// - Parameters:
  ///   - data: The points, shape `[N, …]`; their element type is that of every answer.
  ///   - weights: Their relative weights, shape `[N]`, not negative and not all zero; equal where left out.
  ///   - schedule: How they become noise.
  public init(data: Tensor, weights: Tensor? = nil, on schedule: any NoiseSchedule) {
    guard data.rank >= 1, data.batch > 0, weights == nil || weights!.shape == [data.batch] else {
      fatalError(
        "GaussianFisher(data: \(data.shape), weights: \(weights.map { "\($0.shape)" } ?? "equal")): "
          + "needs [N, …] and [N], N > 0")
    }
    self.schedule = schedule
    let rows = data.flattened.to(.float64)
    let shares = weights?.to(.float64).expanded(at: 1) ?? .ones([rows.batch, 1], on: data.device)
    let weighted = shares / shares.sum()
    let deviations = weighted.sqrt() * (rows - (weighted * rows).sum(0, keeping: true))

    let (values, vectors): (Tensor, Tensor)
    if rows.batch < deviations.shape[1] {
      // Not the Gram matrix of the points: it squares away the small variances' directions.
      let (q, r) = deviations.transposed.qr()
      let inner = r.matmul(r.transposed).eigh()
      (values, vectors) = (inner.values, q.matmul(inner.vectors))
    } else {
      (values, vectors) = deviations.transposed.matmul(deviations).eigh()
    }
    variances = values.clamped(0).to(data.elementType)
    directions = vectors.transposed.to(data.elementType)
  }

  /// `tr S`, the data's total variance.
  public var variance: Double { variances.to(.float64).sum().item }

  public func fisher(at x: Tensor, time t: Double) -> At {
    let kernel = schedule.kernel(at: t)
    guard x.dimension == directions.shape[1] else {
      fatalError("GaussianFisher.fisher(at: \(x.shape)): the data have \(directions.shape[1]) dimensions")
    }
    let signal = (kernel.alpha * kernel.alpha) * variances
    return At(kernel: kernel, x: x, gains: signal / (signal + kernel.sigma * kernel.sigma), directions: directions)
  }

  /// The same at every point.
  public struct At: FisherOperator {
    fileprivate let kernel: PerturbationKernel
    fileprivate let x: Tensor
    fileprivate let gains, directions: Tensor

    public func trace() -> Tensor {
      kernel.fisherTrace(residual: gains.sum().broadcast(to: [x.batch]), dimension: x.dimension)
    }

    public func matvec(_ v: Tensor) -> Tensor {
      let explained = (v.flattened.matmul(directions.transposed) * gains).matmul(directions)
      return (v - explained.reshaped(v.shape)) / (kernel.sigma * kernel.sigma)
    }

    public func matvecs(_ block: Tensor) -> Tensor { matvec(block.merged).reshaped(block.shape) }
  }
}
