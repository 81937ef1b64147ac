import ScorefieldFields
import ScorefieldFisher
import ScorefieldInference
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// Where the flow led, and the gradient of a loss there with respect to where it began.
public struct ContinuousAdjoint: Sendable {
  /// The points at the time that was asked for, or where the integration stopped, shape `[B, …]`.
  public let endpoint: Tensor
  /// The loss of each sample, shape `[B]`; NaN where the integration stopped before.
  public let loss: Tensor
  /// `∂L/∂x` at the beginning, shape `[B, …]`, `float64`.
  public let gradient: Tensor
  /// How far it may be off by the integration, in every coordinate, shape `[B, …]`.
  public let gradientError: Tensor
  /// Evaluations of the flow on both ways.
  public let evaluations: Int
  public let outcome: Outcome
}

/// The gradient of a loss of the probability flow's end with respect to its beginning: the continuous adjoint.
///
///     dλ/dt = −(∂v/∂x)ᵀ λ = −(f + ½ g² F)ᵀ λ,   λ(to) = ∂L/∂x_to,   ∂L/∂x_from = λ(from)
///
/// The flow itself is differentiated, and no solver's steps: of a path of few steps `adjointGradient` gives the gradient of those steps,
/// to which this is the limit. Both ways are integrated adaptively.
///
/// - Cost: Two integrations, the second with one product per evaluation; a state per quarter of `log(σ/α)`, and no record.
/// - Parameters:
///   - x: Points at the time `from`, shape `[B, …]`, `float32` or `float64`.
///   - denoiser: The model.
///   - fisher: The products `Fᵀ v` of its Fisher: exact of exact fields, else by reverse differentiation.
///   - from: The time of the points.
///   - to: The time they are carried to, earlier or later.
///   - accuracy: The tolerance; what the element type supports where left out.
///   - loss: The loss of each sample, `[B, …] → [B]`, differentiable.
/// - Returns: The end, its loss and the gradient with its error.
/// - Throws: What the loss throws.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, eq. 18; Chen et al. 2018, arXiv:1806.07366, eq. 4.
public func continuousAdjoint<F: FisherAccess, E: Error>(
  at x: Tensor, under denoiser: some Denoiser, fisher: F, from: Double, to: Double, accuracy: FlowAccuracy? = nil,
  of loss: (Tensor) throws(E) -> Tensor
) throws(E) -> ContinuousAdjoint where F.Operator: FisherMatvec {
  var losses = Tensor.full([x.batch], .nan, on: x.device)
  let found = try flowCotangents(
    count: 1, at: x, under: denoiser, fisher: fisher, from: from, to: to, accuracy: accuracy
  ) { endpoint throws(E) in
    let end = try PathEnd(at: endpoint, for: "continuousAdjoint", of: loss)
    losses = end.loss
    return end.gradient.expanded(at: 0)
  }
  return ContinuousAdjoint(
    endpoint: found.endpoint, loss: losses, gradient: found.tangents.squeezed(0),
    gradientError: found.tangentErrors.squeezed(0), evaluations: found.evaluations, outcome: found.outcome)
}
