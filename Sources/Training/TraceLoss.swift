import ScorefieldFisher
import ScorefieldPaths
import ScorefieldTensorCore

/// How an error of a trace counts.
public enum TraceLoss: Sendable {
  /// `|y − y*|²` of the network's own output: its minimiser is the mean, whatever the noise of the target.
  case squared
  /// `|M − M*|²/d²` of the moment, not of the output.
  case moment
  /// Huber's loss of the trace's relative error, for targets without noise.
  ///
  ///     smooth-L1_β((g − g*)/(|g*| + ρ ⟨|g|⟩)),   g = 1 − V/d
  ///
  /// `⟨|g|⟩` is the mean over samples of about the same noise, which keeps the error finite where `g` crosses zero.
  case relative(beta: Double = 0.1, floor: Double = 0.3)

  /// The loss of each sample, shape `[B]`.
  ///
  /// - Parameters:
  ///   - output: `y` of the network, shape `[B]`.
  ///   - form: What it stands for.
  ///   - sample: Where it was asked.
  ///   - posterior: What is known there.
  ///   - predictedNoise: `ε̂` of the denoiser the trace belongs to.
  /// - Returns: Shape `[B]`.
  func loss(
    of output: Tensor, form: any TraceForm, on sample: PathSample, posterior: PosteriorTarget, predictedNoise: Tensor
  ) -> Tensor {
    let dimension = Double(sample.data.count / max(sample.data.batch, 1))
    let normalizations = sample.kernels.kernels.map(form.normalization(at:))
    func row(_ values: [Double]) -> Tensor { Tensor(values).to(output.elementType).to(output.device) }
    let (shift, scale) = (row(normalizations.map(\.shift)), row(normalizations.map(\.scale)))
    let target = form.moment(of: posterior, predictedNoise: predictedNoise) / dimension
    switch self {
    case .squared: return (output - (target - shift) / scale).squared()
    case .moment: return (shift + scale * output - target).squared()
    case .relative(let beta, let floor):
      let truth = 1 - target
      let error = (1 - (shift + scale * output) - truth)
      let typical = sample.kernels.binnedMeans(of: truth.abs())
      let relative = (error / (truth.abs() + floor * typical)).abs()
      let square = (0.5 / beta) * relative.squared()
      return (relative - 0.5 * beta).replacing(with: square, where: relative .< beta)
    }
  }
}
