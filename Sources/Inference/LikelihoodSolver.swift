import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// How the flow between data and noise is integrated; its clock is `log(σ/α)`.
public enum LikelihoodSolver: Sendable {
  /// Steps as a tolerance demands.
  case adaptive(EmbeddedRungeKutta, StepController)
  /// Steps of equal length in `log(σ/α)`.
  case rungeKutta(RungeKutta, steps: Int)

  /// Dormand and Prince's method, with the tolerances kept by every coordinate of every sample.
  ///
  /// - Parameters:
  ///   - rtol: The tolerance relative to `x/α`, and to one nat per dimension.
  ///   - atol: The absolute tolerance, in the units of the data and in nats per dimension.
  ///   - stepLimit: The most steps that are tried.
  /// - Returns: The solver.
  public static func dopri5(rtol: Double = 1e-5, atol: Double = 1e-5, stepLimit: Int = 10_000) -> Self {
    // The largest of all coordinates: a mean over many would drown the few that hold the density.
    .adaptive(.dormandPrince, StepController(rtol: rtol, atol: atol, norm: .maximum, stepLimit: stepLimit))
  }

  /// The state at the flow's end, or where it stopped.
  func solve(_ start: Tensor, in flow: RescaledFlow) -> Integration {
    switch self {
    case .adaptive(let method, let controller):
      return integrate(
        start, from: flow.start, to: flow.end, with: method, controller: controller, in: flow)
    case .rungeKutta(let method, let steps):
      guard steps > 0 else { fatalError("rungeKutta(steps: \(steps)): needs at least one step") }
      let (first, last) = (flow.start, flow.end)
      let nodes = (0...steps).map { $0 == steps ? last : first + (last - first) * Double($0) / Double(steps) }
      let state = integrate(start, along: TimeGrid(nodes), with: method, in: flow)
      return Integration(
        state: state, time: last, outcome: state.isFinite().all() ? .converged : .notFinite,
        statistics: StepStatistics(accepted: steps, evaluations: steps * method.tableau.stages))
    }
  }
}
