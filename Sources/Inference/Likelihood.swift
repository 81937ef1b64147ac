import RealModule
import ScorefieldSolvers
import ScorefieldPaths
import ScorefieldTensorCore

/// How likely samples are, and how far that is to be trusted.
public struct Likelihood: Sendable {
  /// `log q_from(x)`, shape `[B]`, nats, `float64`; not a number where the integration did not settle.
  ///
  /// Of grey levels it is that of the scaled data, and a lower bound on average over the dequantisation's draws.
  public let logLikelihood: Tensor
  /// The standard error of ``logLikelihood``, shape `[B]`, nats; nil where nothing was drawn, or only once.
  public let standardError: Tensor?
  /// `x` at the noisy end, or where the integration stopped, shape `[B, …]`; of the first draw, where there are several.
  public let latent: Tensor
  /// What the normal prior gets wrong, `log q_to − log N` at the latent, shape `[B]`, nats.
  ///
  /// Nil where no exact field is known.
  public let priorError: Tensor?
  /// Evaluations of the flow; each asks the denoiser once and the trace once, for the whole batch.
  public let evaluations: Int
  public let outcome: Outcome
  /// The grey levels the samples were given in; nil for real numbers.
  public let levels: GreyLevels?

  /// Bits per dimension, shape `[B]`.
  public var bitsPerDim: Tensor {
    ScorefieldInference.bitsPerDim(
      logLikelihood, dimension: latent.shape.dropFirst().reduce(1, *), levels: levels)
  }
}

/// The code length of a log-likelihood.
///
///     −log q/(d log 2) + log₂((L − 1)/2)
///
/// The second term is there for grey levels only: the density is that of the data scaled to [−1, 1], and a level's
/// probability is the density times its bin, `2/(L − 1)` wide in every coordinate.
///
/// - Parameters:
///   - logLikelihood: `log q`, any shape, nats.
///   - dimension: `d`.
///   - levels: The grey levels the data were given in; nil for real numbers.
/// - Returns: Bits per dimension, in the same shape.
public func bitsPerDim(_ logLikelihood: Tensor, dimension: Int, levels: GreyLevels? = nil) -> Tensor {
  logLikelihood * (-1 / (Double(dimension) * .log(2))) + (levels?.bitsOfScaling ?? 0)
}
