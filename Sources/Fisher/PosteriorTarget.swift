import ScorefieldTensorCore

/// What a target is made of: means over the posterior of the data and the noise, and the variance left in the noise.
///
/// A single draw is a posterior of one point, whose residual is 0.
public struct PosteriorTarget: Sendable {
  /// `E[x₀ | x_t]` and `E[ε | x_t]`, shape `[B, …]`.
  public let data, noise: Tensor
  /// `V = E[|ε − E ε|² | x_t]`, shape `[B]`; nil for a single draw.
  public let residual: Tensor?
  /// `tr C = (σ²/α²) V`, shape `[B]`; nil for a single draw.
  public let spread: Tensor?

  /// A single draw.
  public init(data: Tensor, noise: Tensor) { (self.data, self.noise, residual, spread) = (data, noise, nil, nil) }

  /// A posterior.
  public init(data: Tensor, noise: Tensor, residual: Tensor, spread: Tensor) {
    (self.data, self.noise, self.residual, self.spread) = (data, noise, residual, spread)
  }
}
