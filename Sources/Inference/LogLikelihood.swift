import RealModule
import ScorefieldFields
import ScorefieldFisher
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// The log-likelihood of samples by the instantaneous change of variables along the probability flow.
///
///     log q_from(x) = log q_to(x_to) + d log(α_to/α_from) + ∫ σ² tr F dκ,   κ = log(σ/α)
///
/// From the data to the noise `g² = 2σ² dκ/dt`, so that the flow `dx/dt = f x − ½ g² ∇log q` is, with Tweedie's
/// `∇log q = (α x̂₀ − x)/σ²` and for `x̄ = x/α`,
///
///     dx̄/dt = (dx/dt − f x)/α = −(dκ/dt)(x̂₀ − x̄)   ⟹   dx̄/dκ = x̄ − x̂₀(α x̄, t)
///
/// Its divergence is `d − tr ∂x̂₀/∂x̄`. From `x̂₀ = (x + σ² ∇log q)/α` follows `∂x̂₀/∂x̄ = α ∂x̂₀/∂x = I − σ² F`, so the
/// divergence is `σ² tr F` and along the flow the density `q̄` of `x̄` obeys
///
///     d log q̄(x̄)/dκ = −σ² tr F,   log q̄(x̄) = log q(x) + d log α
///
/// Integrated from `from` to `to` this is the first line. Nothing is amplified towards the data: `σ² tr F` lies between
/// about 0 and `d`. The integral is carried beside `x̄` in nats per dimension, from 1, one column per independent estimate
/// of the trace, so that one tolerance means the same for all of the state.
///
/// - Cost: One evaluation of the denoiser with its trace per evaluation of the flow.
/// - Parameters:
///   - x: Samples at the time `from`, shape `[B, …]`, `float32` or `float64`.
///   - model: The model, which gives its trace in the same evaluation; random estimates must be the same function at every
///     call, as with fixed probes.
///   - from: The time the samples are taken to be at, above the data.
///   - to: The time at which the prior takes over, later than `from`.
///   - prior: The distribution there.
///   - solver: How the flow is integrated.
/// - Returns: Log-likelihoods, their standard error over the trace's estimates, and the latents.
///
/// Source: Song et al. 2021, arXiv:2011.13456, eq. 39; the coordinates are ours.
public func logLikelihood(
  of x: Tensor, under model: some TracedDenoiser, from: Double, to: Double, prior: Prior = .normal,
  solver: LikelihoodSolver = .dopri5()
) -> Likelihood {
  guard from < to else { fatalError("logLikelihood(from: \(from), to: \(to)): runs from the data to the noise") }

  let flow = RescaledFlow(traced: model, samples: x, from: from, to: to)
  let dimension = Double(flow.dimension)
  let columns = model.estimateCount(at: x, time: from)
  // From 1: the tolerance relative to the column is one relative to a nat per dimension.
  let gains = Tensor.ones([x.batch, columns], on: x.device)
  let end = solver.solve(.concatenated([flow.rescaled(x), gains], 1), in: flow)

  let latent = flow.points(end.state, at: end.time)
  let schedule = model.schedule
  guard end.outcome == .converged else {
    return Likelihood(
      logLikelihood: .full([x.batch], .nan, on: x.device), standardError: nil, latent: latent, priorError: nil,
      evaluations: end.statistics.evaluations, outcome: end.outcome, levels: nil)
  }
  let integrals = dimension * (end.state.narrowed(1, from: flow.dimension, count: columns) - 1)
  let volume = dimension * .log(schedule.kernel(at: to).alpha / schedule.kernel(at: from).alpha)
  let error = (prior.field ?? model.exactField).map { field in
    Prior.exact(field).logDensity(latent, at: to, on: schedule) - Prior.normal.logDensity(latent, at: to, on: schedule)
  }
  return Likelihood(
    logLikelihood: prior.logDensity(latent, at: to, on: schedule) + integrals.mean(-1) + volume,
    standardError: columns > 1 ? integrals.standardDeviation(-1) / Double(columns).squareRoot() : nil, latent: latent,
    priorError: error, evaluations: end.statistics.evaluations, outcome: .converged, levels: nil)
}

/// The log-likelihood of samples under a denoiser, with the trace of its Fisher from anywhere.
///
/// - Parameters:
///   - x: Samples at the time `from`, shape `[B, …]`, `float32` or `float64`.
///   - denoiser: The model.
///   - trace: The trace of its Fisher; random estimates must be the same function at every call, as with fixed probes.
///   - from: The time the samples are taken to be at, above the data.
///   - to: The time at which the prior takes over, later than `from`.
///   - prior: The distribution there.
///   - solver: How the flow is integrated.
/// - Returns: Log-likelihoods, their standard error over the trace's estimates, and the latents.
public func logLikelihood<F: FisherAccess>(
  of x: Tensor, under denoiser: some Denoiser, trace: F, from: Double, to: Double, prior: Prior = .normal,
  solver: LikelihoodSolver = .dopri5()
) -> Likelihood where F.Operator: FisherTrace {
  logLikelihood(of: x, under: WithTrace(denoiser, trace), from: from, to: to, prior: prior, solver: solver)
}
