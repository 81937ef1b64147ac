import ScorefieldPaths
import ScorefieldTensorCore

/// The residual itself in units of what Gaussian data would have, `V = d s²/(s² + k²) (1 + y)` with `k = σ/α`.
///
/// Where the noise is large all data look Gaussian, and `y → 0` makes the trace exact; where it is small `V → d` at most.
/// Learned from posteriors; of single draws the denoiser's own error is added, as in ``PredictionErrorForm``.
public struct PosteriorVarianceForm: TraceForm {
  /// `s`, the standard deviation of the data.
  public let sigmaData: Double

  public init(sigmaData: Double) {
    guard sigmaData > 0 else { fatalError("PosteriorVarianceForm(sigmaData: \(sigmaData)): must be larger than 0") }
    self.sigmaData = sigmaData
  }

  public func normalization(at kernel: PerturbationKernel) -> TraceNormalization {
    let signal = kernel.alpha * sigmaData
    let share = signal * signal / (signal * signal + kernel.sigma * kernel.sigma)
    return .init(shift: share, scale: share)
  }

  public func moment(of posterior: PosteriorTarget, predictedNoise: Tensor) -> Tensor {
    posterior.residual ?? (posterior.noise - predictedNoise).squaredNorms
  }

  public func residualRate(at kernel: PerturbationKernel) -> Double { 1 }
}
