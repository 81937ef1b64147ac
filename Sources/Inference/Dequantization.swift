import RealModule
import ScorefieldArrays
import ScorefieldFields
import ScorefieldFisher
import ScorefieldSolvers
import ScorefieldPaths
import ScorefieldTensorCore

/// How grey levels become points of a density: by noise `u` within each level's bin, `|u| < w = 1/(L − 1)`.
///
/// A level's probability is the density's integral over its bin. For any density `r` on the bin, Jensen's inequality gives
///
///     log P(v) = log E_{u∼r}[q(x + u)/r(u)] ≥ E_{u∼r}[log q(x + u) − log r(u)]
///
/// and the average over draws estimates the right-hand side without bias. With the uniform `r = 1/(2w)` per coordinate it is
/// `E log q + d log(2w)`. For other `r` what is reported as a log-likelihood is the bound less the same `d log(2w)`, so that
/// ``bitsPerDim(_:dimension:levels:)`` gives the bound's bits whichever way they were drawn.
public enum Dequantization: Sendable, Equatable {
  /// None: the density at the levels themselves, which is no bound on anything.
  case none
  /// Uniform in the bin.
  case uniform(draws: Int)
  /// The model's own noise at the time the likelihood starts, cut off at the bin's edges.
  ///
  ///     u ∼ N(0, (σ/α)²) on |u| < w,   x_from = α (x + u),   log q̄(x + u) = log q_from(x_from) + d log α
  ///
  /// The model was trained on just such points, so nothing is asked of it that it has not seen; where σ/α is small beside
  /// the bin, and the data are what it learned, `log q̄ − log r` hardly varies and the bound is nearly tight.
  ///
  /// Source: Zheng et al. 2023, arXiv:2305.03935, its training-free dequantisation; the derivation is ours.
  case truncatedNormal(draws: Int)

  /// How often noise is drawn.
  public var draws: Int {
    switch self {
    case .none: 1
    case .uniform(let draws), .truncatedNormal(let draws): draws
    }
  }
}

/// The log-likelihood of grey levels: a lower bound by dequantisation, averaged over draws.
///
/// All draws go through the flow as one batch of `draws · B`, and so have random traces of their own. The standard error
/// is that of the mean over draws: by the law of total variance their spread holds the spread of the noise as well as, on
/// average, the variance that the trace's estimates add to each, so nothing is added for these. A single draw knows
/// nothing of its spread, and the error is that of the trace alone.
///
/// - Parameters:
///   - levels: Integers `0…L−1`, shape `[B, …]`, of any element type.
///   - scale: How many levels there are.
///   - dequantization: The noise within the bins.
///   - generator: Where the noise comes from.
///   - model: The model with its trace, of data scaled to [−1, 1].
///   - type: The element type the model is asked in.
///   - from: The time the samples are taken to be at, above the data.
///   - to: The time at which the prior takes over, later than `from`.
///   - prior: The distribution there.
///   - solver: How the flow is integrated.
/// - Returns: The bound on the log-likelihood of the scaled data, its standard error, and the latents of the first draw.
public func logLikelihood(
  of levels: Tensor, in scale: GreyLevels, dequantized dequantization: Dequantization = .uniform(draws: 1),
  using generator: inout Generator, under model: some TracedDenoiser, type: ElementType = .float64,
  from: Double, to: Double, prior: Prior = .normal, solver: LikelihoodSolver = .dopri5()
) -> Likelihood {
  let draws = dequantization.draws
  guard draws > 0 else { fatalError("logLikelihood(dequantized: \(dequantization)): needs at least one draw") }
  let data = scale.scaled(levels)
  let points = dequantization.points(
    data, in: scale, noise: model.schedule.kernel(at: from), using: &generator)

  let found = logLikelihood(
    of: points.x.reshaped([draws * data.batch] + data.shape.dropFirst()).to(type), under: model, from: from, to: to,
    prior: prior, solver: solver)
  let bounds = found.logLikelihood.reshaped(draws, data.batch) + points.gain
  let error = draws > 1 ? bounds.standardDeviation(0) / Double(draws).squareRoot() : found.standardError
  return Likelihood(
    logLikelihood: bounds.mean(0), standardError: found.outcome == .converged ? error : nil,
    latent: found.latent[..<data.batch], priorError: found.priorError.map { $0.reshaped(draws, data.batch).mean(0) },
    evaluations: found.evaluations, outcome: found.outcome, levels: scale)
}

/// The log-likelihood of grey levels under a denoiser, with the trace of its Fisher from anywhere.
///
/// - Parameters:
///   - levels: Integers `0…L−1`, shape `[B, …]`, of any element type.
///   - scale: How many levels there are.
///   - dequantization: The noise within the bins.
///   - generator: Where the noise comes from.
///   - denoiser: The model, of data scaled to [−1, 1].
///   - trace: The trace of its Fisher.
///   - type: The element type the model is asked in.
///   - from: The time the samples are taken to be at, above the data.
///   - to: The time at which the prior takes over, later than `from`.
///   - prior: The distribution there.
///   - solver: How the flow is integrated.
/// - Returns: The bound on the log-likelihood of the scaled data, its standard error, and the latents of the first draw.
public func logLikelihood<F: FisherAccess>(
  of levels: Tensor, in scale: GreyLevels, dequantized dequantization: Dequantization = .uniform(draws: 1),
  using generator: inout Generator, under denoiser: some Denoiser, trace: F, type: ElementType = .float64,
  from: Double, to: Double, prior: Prior = .normal, solver: LikelihoodSolver = .dopri5()
) -> Likelihood where F.Operator: FisherTrace {
  logLikelihood(
    of: levels, in: scale, dequantized: dequantization, using: &generator, under: WithTrace(denoiser, trace),
    type: type, from: from, to: to, prior: prior, solver: solver)
}
