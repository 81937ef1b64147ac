import ScorefieldPaths
import ScorefieldTensorCore

/// The second moment centred where the point itself says the data are: `M = E[|ε|² | x_t]`.
///
///     V = M − |ε̂|²,   for |x₀ − x_t/α|² = (σ²/α²) |ε|²
///
/// The same estimate as ``SecondMomentForm`` about another centre, in units in which nothing is amplified.
public struct NoiseMomentForm: TraceForm {
  public init() {}

  public func normalization(at kernel: PerturbationKernel) -> TraceNormalization { .init(shift: 1, scale: 1) }

  public func moment(of posterior: PosteriorTarget, predictedNoise: Tensor) -> Tensor {
    let energy = posterior.noise.squaredNorms
    return posterior.residual.map { $0 + energy } ?? energy
  }

  public func residualRate(at kernel: PerturbationKernel) -> Double { 1 }
}
