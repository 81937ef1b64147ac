import ScorefieldPaths
import ScorefieldTensorCore

/// The moment of "trace matching" as printed: `T ≈ E[|x₀|² | x_t]`.
///
///     tr F = d/σ² − (α²/σ⁴)(T − |x̂₀|²)
///
/// An error of `T` is amplified by α²/σ⁴: excellent where the noise is large, useless where it is small.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, algorithm 1 and eq. 17.
public struct SecondMomentForm: TraceForm {
  public init() {}

  public func normalization(at kernel: PerturbationKernel) -> TraceNormalization { .init(shift: 0, scale: 1) }

  public func moment(of posterior: PosteriorTarget, predictedNoise: Tensor) -> Tensor {
    let square = posterior.data.squaredNorms
    return posterior.spread.map { $0 + square } ?? square
  }

  public func residualRate(at kernel: PerturbationKernel) -> Double { kernel.signalToNoise }
}
