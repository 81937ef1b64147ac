import ScorefieldPaths
import ScorefieldTensorCore

/// What a scalar network stands for, and how the trace of the Fisher follows from it.
///
/// A network is trained to give `y` where `d (shift + scale y)` is a moment `M` of the posterior, in expectation; with the
/// denoiser's answer the moment gives the residual `V = (α²/σ²) tr C`, and that the trace, `tr F = (d − V)/σ²`.
public protocol TraceForm: Sendable {
  /// How the output becomes the moment: `M = d (shift + scale y)`.
  func normalization(at kernel: PerturbationKernel) -> TraceNormalization

  /// The moment itself, from what is known of the posterior.
  ///
  /// - Parameters:
  ///   - posterior: One draw of the data and the noise, or their posterior means with what is left of the noise.
  ///   - predictedNoise: `ε̂` of the denoiser the trace belongs to, shape `[B, …]`.
  /// - Returns: `M`, shape `[B]`.
  func moment(of posterior: PosteriorTarget, predictedNoise: Tensor) -> Tensor

  /// How the residual goes with the moment, `∂V/∂M`.
  func residualRate(at kernel: PerturbationKernel) -> Double
}

extension TraceForm {
  /// The residual that a moment tells.
  ///
  ///     V = (∂V/∂M) (M − M̂)
  ///
  /// `M̂` is the moment of a posterior that is all at the denoiser's answer, where nothing is left.
  ///
  /// - Parameters:
  ///   - moment: `M`, shape `[B]`.
  ///   - data: `x̂₀` of the denoiser, shape `[B, …]`.
  ///   - noise: Its `ε̂`, in the same shape.
  ///   - kernel: Where.
  /// - Returns: `V`, shape `[B]`.
  public func residual(moment: Tensor, data: Tensor, noise: Tensor, at kernel: PerturbationKernel) -> Tensor {
    let certain = self.moment(of: PosteriorTarget(data: data, noise: noise), predictedNoise: noise)
    return residualRate(at: kernel) * (moment - certain)
  }
}

/// `M = d (shift + scale y)`.
public struct TraceNormalization: Sendable, Equatable {
  public let shift, scale: Double

  public init(shift: Double, scale: Double) { (self.shift, self.scale) = (shift, scale) }
}

extension Tensor {
  /// `|v|²` of each row, `[B]`.
  var squaredNorms: Tensor { flattened.squared().sum(-1) }
}
