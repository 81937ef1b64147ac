import ScorefieldPaths
import ScorefieldTensorCore

/// What the denoiser leaves of the noise: `M = E[|ε − ε̂|² | x_t]`.
///
///     V = M,   for E|ε − ε̂|² = V + |ε̂ − E ε|²
///
/// The identity bounds its bias by the denoiser's own squared error.
public struct PredictionErrorForm: TraceForm {
  public init() {}

  public func normalization(at kernel: PerturbationKernel) -> TraceNormalization { .init(shift: 0, scale: 1) }

  public func moment(of posterior: PosteriorTarget, predictedNoise: Tensor) -> Tensor {
    let error = (posterior.noise - predictedNoise).squaredNorms
    return posterior.residual.map { $0 + error } ?? error
  }

  public func residualRate(at kernel: PerturbationKernel) -> Double { 1 }
}
