import ScorefieldPaths
import ScorefieldTensorCore

extension PerturbationKernel {
  /// How far the trace from a learned second moment and a learned mean can be from the exact one.
  ///
  ///     |T − E|x₀|²| ≤ δT,  |x̂₀ − E x₀| ≤ δy   ⟹   |error of tr F| ≤ (α²/σ⁴) (δT + δy (2|x̂₀| + δy))
  ///
  /// The mean on the right may be the learned or the exact one: each is within `δy` of the other.
  ///
  /// - Parameters:
  ///   - secondMoment: `δT`, shape `[B]`.
  ///   - mean: `δy`, shape `[B]`.
  ///   - size: `|x̂₀|` or `|E x₀|`, shape `[B]`.
  /// - Returns: The bound, shape `[B]`.
  ///
  /// Source: Wang et al. 2025, arXiv:2505.23264, proposition 7, derived again.
  public func fisherTraceErrorBound(secondMoment: Tensor, mean: Tensor, size: Tensor) -> Tensor {
    (signalToNoise / (sigma * sigma)) * (secondMoment + mean * (2 * size + mean))
  }
}
