import ScorefieldFisher
import ScorefieldPaths
import ScorefieldTensorCore

/// How an error of a trace counts.
public enum TraceLoss: Sendable {
  /// `|y − y*|²` of the network's own output: its minimiser is the mean, whatever the noise of the target.
  case squared
  /// The trace's error in units of what is hard at its noise level, for targets without noise.
  ///
  ///     |g − g*|/n,   g = 1 − V/d = σ² tr F/d,   n = √(⟨|g*|⟩ ⟨|g* − g_N|⟩)
  ///
  /// `⟨·⟩` is a mean over samples of about the same noise, and `g_N = 1 − s²/(s² + k²)` is what Gaussian data would have: an
  /// error counts by the size of the trace, and by how far it is from what needs no learning.
  case relative
}

/// What a trace head is to learn at some points, ready to be compared.
struct TraceTarget: Sendable {
  /// `M = d (shift + scale y)`, each `[B]`.
  var shift, scale: Tensor
  /// `M/d`, shape `[B]`.
  var moment: Tensor
  /// `∂V/∂M` and `n`, shape `[B]`.
  var rate, size: Tensor

  /// - Parameters:
  ///   - form: What the head stands for.
  ///   - sample: The points.
  ///   - posterior: What is known there.
  ///   - predictedNoise: `ε̂` of the denoiser the trace belongs to.
  ///   - sigmaData: `s`.
  init(
    _ form: any TraceForm, at sample: PathSample, posterior: PosteriorTarget, predictedNoise: Tensor, sigmaData: Double
  ) {
    let dimension = Double(sample.data.count / max(sample.data.batch, 1))
    moment = form.moment(of: posterior, predictedNoise: predictedNoise) / dimension
    let like = moment
    let normalizations = sample.kernels.kernels.map(form.normalization(at:))
    func row(_ values: [Double]) -> Tensor { Tensor(values).to(like.elementType).to(like.device) }
    (shift, scale) = (row(normalizations.map(\.shift)), row(normalizations.map(\.scale)))
    rate = row(sample.kernels.kernels.map(form.residualRate(at:)))
    // Of a single draw, what the denoiser leaves of the noise: its mean is V, and the denoiser's own error.
    let residual = posterior.residual ?? (posterior.noise - predictedNoise).flattened.squared().sum(-1)
    let truth = 1 - residual / dimension
    let gaussian = sample.kernels.row(like: moment) {
      let signal = $0.alpha * sigmaData
      return $0.sigma * $0.sigma / (signal * signal + $0.sigma * $0.sigma)
    }
    let (sizes, distances) = (
      sample.kernels.binnedMeans(of: truth.abs()), sample.kernels.binnedMeans(of: (truth - gaussian).abs())
    )
    // Gaussian data have no distance, and nothing is to be learned of them.
    size = (sizes * distances).sqrt() + 1e-9
  }

  private init(shift: Tensor, scale: Tensor, moment: Tensor, rate: Tensor, size: Tensor) {
    (self.shift, self.scale, self.moment, self.rate, self.size) = (shift, scale, moment, rate, size)
  }

  /// The targets of some of the points.
  func selecting(_ positions: Tensor) -> TraceTarget {
    TraceTarget(
      shift: shift.selecting(positions), scale: scale.selecting(positions), moment: moment.selecting(positions),
      rate: rate.selecting(positions), size: size.selecting(positions))
  }

  /// The loss of a head's output, shape `[B]`.
  func loss(of output: Tensor, _ loss: TraceLoss) -> Tensor {
    switch loss {
    case .squared: return (output - (moment - shift) / scale).squared()
    case .relative: return self.loss(ofMoment: shift + scale * output)
    }
  }

  /// The relative loss of `M/d` itself, shape `[B]`.
  func loss(ofMoment value: Tensor) -> Tensor { (rate * (value - moment) / size).abs() }
}
