import ScorefieldFields
import ScorefieldFisher
import ScorefieldSolvers
import ScorefieldTensorCore

/// The Jacobian of the probability flow's map between two times, at a batch of points.
public struct FlowJacobian: Sendable {
  /// Where the points are at the time that was asked for, or where the integration stopped, shape `[B, …]`.
  public let endpoint: Tensor
  /// How far they may be off, `|δx|`, shape `[B]`.
  public let endpointError: Tensor
  /// `J = ∂x_to/∂x_from`, shape `[B, d, d]`, `float64`.
  public let matrix: Tensor
  /// A bound of `|δJ|` in Frobenius's norm, from what changed as the tolerance fell, shape `[B]`.
  public let matrixError: Tensor
  /// Evaluations of the flow, each one of the denoiser and `d` products.
  public let evaluations: Int
  public let outcome: Outcome

  /// A Jacobian that is known another way, such as that of one map behind another.
  public init(
    endpoint: Tensor, endpointError: Tensor, matrix: Tensor, matrixError: Tensor, evaluations: Int, outcome: Outcome
  ) {
    (self.endpoint, self.endpointError, self.matrix, self.matrixError) = (endpoint, endpointError, matrix, matrixError)
    (self.evaluations, self.outcome) = (evaluations, outcome)
  }
}

/// The Jacobian of the probability flow's map between two times: its fundamental matrix, integrated with the state.
///
///     dA/dt = (f I + ½ g² F(x_t, t)) A,   A(from) = I,   J = A(to)
///
/// Integrated in `x/α` and `log(σ/α)`, where every schedule has the same flow.
///
/// - Cost: One evaluation of the denoiser and `d` products per evaluation of the flow; `O(B d²)` memory. For large `d`:
///   ``flowTangents(_:at:under:fisher:from:to:accuracy:)``.
/// - Parameters:
///   - x: Points at the time `from`, shape `[B, …]`, `float32` or `float64`.
///   - denoiser: The model.
///   - fisher: The products `F v` of its Fisher: exact of exact fields, else by forward differentiation.
///   - from: The time of the points.
///   - to: The time to carry them to, earlier or later.
///   - accuracy: The tolerance; what the element type supports where left out.
/// - Returns: The endpoints and the Jacobians, with their errors.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, corollary 1, algorithm 2 and eqs. 46–53.
public func flowJacobian<F: FisherAccess>(
  at x: Tensor, under denoiser: some Denoiser, fisher: F, from: Double, to: Double, accuracy: FlowAccuracy? = nil
) -> FlowJacobian where F.Operator: FisherMatvec {
  let dimension = x.dimension
  let basis = Tensor.identity(dimension, on: x.device).expanded(at: 1)
    .broadcast(to: [dimension, x.batch, dimension]).reshaped([dimension] + x.shape)
  let end = flowTangents(basis, at: x, under: denoiser, fisher: fisher, from: from, to: to, accuracy: accuracy)
  return FlowJacobian(
    endpoint: end.endpoint, endpointError: end.endpointError, matrix: end.tangents.vectors.permuted(1, 2, 0),
    matrixError: end.tangentErrors.vectors.squared().sum(0).sum(-1).sqrt(), evaluations: end.evaluations,
    outcome: end.outcome)
}
