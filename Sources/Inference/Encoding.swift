import ScorefieldFields
import ScorefieldSolvers
import ScorefieldTensorCore

/// Where the probability flow carried a batch.
public struct FlowEnd: Sendable {
  /// The points at the time that was asked for, or where the integration stopped, shape `[B, …]`.
  public let points: Tensor
  /// Evaluations of the flow, each one of the denoiser.
  public let evaluations: Int
  public let outcome: Outcome
}

/// The latents of samples: the probability flow from the data to the noise.
///
/// - Parameters:
///   - x: Samples at the time `from`, shape `[B, …]`.
///   - denoiser: The model.
///   - from: The time of the samples.
///   - to: A later time.
///   - solver: How the flow is integrated.
/// - Returns: The points at `to`.
public func encode(
  _ x: Tensor, under denoiser: some Denoiser, from: Double, to: Double, solver: LikelihoodSolver = .dopri5()
) -> FlowEnd {
  guard from < to else { fatalError("encode(from: \(from), to: \(to)): runs from the data to the noise") }
  return carry(x, under: denoiser, from: from, to: to, solver)
}

/// The samples of latents: the probability flow from the noise to the data.
///
/// - Parameters:
///   - latent: Points at the time `from`, shape `[B, …]`.
///   - denoiser: The model.
///   - from: The time of the latents.
///   - to: An earlier time.
///   - solver: How the flow is integrated.
/// - Returns: The points at `to`.
public func decode(
  _ latent: Tensor, under denoiser: some Denoiser, from: Double, to: Double, solver: LikelihoodSolver = .dopri5()
) -> FlowEnd {
  guard from > to else { fatalError("decode(from: \(from), to: \(to)): runs from the noise to the data") }
  return carry(latent, under: denoiser, from: from, to: to, solver)
}

func carry(
  _ x: Tensor, under denoiser: some Denoiser, from: Double, to: Double, _ solver: LikelihoodSolver
) -> FlowEnd {
  let flow = RescaledFlow(denoiser, samples: x, from: from, to: to)
  let end = solver.solve(flow.rescaled(x), in: flow)
  return FlowEnd(
    points: flow.points(end.state, at: end.time), evaluations: end.statistics.evaluations, outcome: end.outcome)
}
