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
}
