import ScorefieldPaths
import ScorefieldTensorCore

/// What an exact field knows of `p(x₀ | x_t = x)` at a batch of points: its mass, its mean, and its covariance `C` as far as
/// it was asked for.
public struct PosteriorMoments: Sendable {
  public let kernel: PerturbationKernel
  /// `log q_t(x)`, shape `[B]`, nats.
  public let logDensity: Tensor
  /// `E[x₀ | x_t = x]`, shape `[B, …]`.
  public let mean: Tensor
  /// `∇ log q_t(x)`, shape `[B, …]`; from centred sums, not from the mean.
  public let score: Tensor
  /// `tr C`, shape `[B]`.
  public let covarianceTrace: Tensor
  /// `C v` for the direction that was asked for, shape `[B, …]`.
  public let covarianceProduct: Tensor?
  /// `Δ log q_t(x)`, shape `[B]`.
  public let laplacian: Tensor
  /// `∇² log q_t(x) v` for the direction that was asked for, shape `[B, …]`.
  public let hessianProduct: Tensor?
}

extension PosteriorMoments {
  /// Moments of points, whose second derivatives of `log q_t` lose nothing by way of the covariance.
  ///
  ///     ∇² log q_t = ((α²/σ²) C − I)/σ²
  ///
  /// Where the data are smooth, `(α²/σ²) C` tends to `I` as σ → 0, and they must come another way.
  init(
    kernel: PerturbationKernel, logDensity: Tensor, mean: Tensor, score: Tensor, covarianceTrace: Tensor,
    covarianceProduct: Tensor?, along direction: Tensor?
  ) {
    let (gain, variance) = ((kernel.alpha / kernel.sigma) * (kernel.alpha / kernel.sigma), kernel.sigma * kernel.sigma)
    let dimension = Double(mean.shape.dropFirst().reduce(1, *))
    self.init(
      kernel: kernel, logDensity: logDensity, mean: mean, score: score, covarianceTrace: covarianceTrace,
      covarianceProduct: covarianceProduct, laplacian: (gain * covarianceTrace - dimension) / variance,
      hessianProduct: direction.map { (gain * covarianceProduct! - $0) / variance })
  }
}

extension PosteriorMoments {
  /// What the kernel's sums say of a batch.
  ///
  /// - Parameters:
  ///   - sums: The sums of all queries.
  ///   - kernel: The level they are at.
  ///   - uniformLogWeight: `log πᵢ` where all are equal; 0 where the sums have them.
  ///   - logRemainders: The logarithm of the weight of all points but the one that each query does without, `[B]`.
  ///   - shape: The shape of the queries.
  ///   - direction: `v`, in that shape.
  init(
    _ sums: FieldStream.Sums, at kernel: PerturbationKernel, uniformLogWeight: Double, logRemainders: Tensor?,
    shape: [Int], along direction: Tensor?
  ) {
    let logSum = logRemainders.map { sums.logSum - $0.to(sums.logSum.elementType) } ?? sums.logSum
    let dimension = Double(shape.dropFirst().reduce(1, *))
    self.init(
      kernel: kernel,
      logDensity: logSum + (uniformLogWeight - 0.5 * dimension * .log(2 * .pi * kernel.sigma * kernel.sigma)),
      mean: sums.mean.reshaped(shape), score: sums.score.reshaped(shape), covarianceTrace: sums.spread,
      covarianceProduct: direction.map { _ in sums.product!.reshaped(shape) }, along: direction)
  }
}
