import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// Samples by a method that asks for the denoiser, many steps at once.
///
/// - Parameters:
///   - model: The denoiser.
///   - start: States at the grid's first time, shape `[B, …]`.
///   - grid: The times, from the noise to the data.
///   - solver: The method.
///   - finalDenoise: Whether the end is denoised once more.
///   - window: How many steps are tried at once.
///   - tolerance: When a state has settled.
/// - Returns: The samples, without a path.
public func sample<S: Solver>(
  _ model: any Denoiser, from start: Tensor, along grid: TimeGrid, with solver: S, finalDenoise: Bool = true,
  window: Int, settling tolerance: PicardTolerance
) -> SampleRun where S.Field == any Denoiser {
  let iteration = PicardIteration(
    from: start, along: grid, with: solver, in: model, window: window, settling: tolerance)
  return run(iteration.integrated(), finalDenoise ? model : nil, grid)
}

/// Samples by a method that asks for the velocity of the probability flow, many steps at once.
///
/// - Parameters:
///   - model: The denoiser.
///   - start: States at the grid's first time, shape `[B, …]`.
///   - grid: The times, from the noise to the data.
///   - solver: The method.
///   - finalDenoise: Whether the end is denoised once more.
///   - window: How many steps are tried at once.
///   - tolerance: When a state has settled.
/// - Returns: The samples, without a path.
public func sample<S: Solver>(
  _ model: any Denoiser, from start: Tensor, along grid: TimeGrid, with solver: S, finalDenoise: Bool = true,
  window: Int, settling tolerance: PicardTolerance
) -> SampleRun where S.Field == any VelocityField {
  let iteration = PicardIteration(
    from: start, along: grid, with: solver, in: model, window: window, settling: tolerance)
  return run(iteration.integrated(), finalDenoise ? model : nil, grid)
}

private func run(_ end: PicardIntegration, _ model: (any Denoiser)?, _ grid: TimeGrid) -> SampleRun {
  let samples = model?.denoise(end.state, at: grid.last) ?? end.state
  let last = model == nil ? 0 : 1
  return SampleRun(
    samples: samples, path: nil, evaluations: end.evaluations + last,
    outcome: samples.isFinite().all() ? .converged : .notFinite, rounds: end.rounds + last)
}
