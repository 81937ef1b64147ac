import ScorefieldArrays
import ScorefieldFields
import ScorefieldFisher
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// What a Jacobian says of the map it was taken of.
public enum TransportAnswer: String, Sendable, Codable {
  /// Symmetric and without a negative eigenvalue, as far as the integration's own error allows to see.
  case optimal
  /// Not symmetric, or with a negative eigenvalue, by more than the error: no optimal transport.
  case notOptimal = "not-optimal"
  /// The error is too large to tell.
  case undecided

  /// The one answer for a map: optimal where no point says otherwise and all are decided.
  public init(of answers: [TransportAnswer]) {
    self = answers.contains(.notOptimal) ? .notOptimal : answers.contains(.undecided) ? .undecided : .optimal
  }
}

/// Whether the probability flow's map between two times can be an optimal transport, by its Jacobian at a batch of points.
///
/// The map is optimal for the squared cost exactly where its Jacobian is symmetric positive semidefinite at every point
/// (Brenier). One point with another Jacobian refutes it; none that was tried refutes nothing else.
public struct TransportVerdict: Sendable {
  public let jacobian: FlowJacobian
  /// `|J − Jᵀ|/(2|J|)`: 0 for a symmetric, 1 for an antisymmetric matrix, the same in every rotation of the data, shape `[B]`.
  public let asymmetry: Tensor
  /// `|J − Jᵀ|/(√2 |J − diag J|)`, which depends on the axes; 0 where all that is beside the diagonal is within the error; `[B]`.
  public let offDiagonalIndex: Tensor
  /// Of the symmetric part, shape `[B]`.
  public let smallestEigenvalue: Tensor
  /// A bound of the error of ``asymmetry``, and of that of ``smallestEigenvalue`` in units of `|J|`, shape `[B]`.
  public let errorBound: Tensor
  /// What follows, one for each point.
  public let answers: [TransportAnswer]

  /// What Jacobians with known errors say.
  ///
  /// With `|δJ| ≤ ε|J|` the numerator of the asymmetry is off by `2ε|J|` at most and the denominator by `2ε|J|`, so that the
  /// index is off by `(1 + index) ε/(1 − ε)`.
  ///
  /// - Parameters:
  ///   - jacobian: The Jacobians.
  ///   - resolution: The error bound from which on nothing is said.
  public init(_ jacobian: FlowJacobian, resolution: Double = 0.01) {
    let indices = GradientIndices(of: jacobian.matrix)
    let norms = jacobian.matrix.norm(-2, -1)
    let relative = (jacobian.matrixError / norms.clamped(.leastNormalMagnitude))
      .replacing(with: .infinity, where: .!jacobian.matrixError.isFinite())
    let aside = (jacobian.matrix - jacobian.matrix.diagonal.diagonalMatrix).norm(-2, -1)
    self.jacobian = jacobian
    asymmetry = indices.asymmetry
    offDiagonalIndex = indices.offDiagonal.replacing(with: 0, where: aside .<= jacobian.matrixError)
    smallestEigenvalue = indices.smallestEigenvalue
    errorBound = ((1 + asymmetry) * relative / (1 - relative.clamped(nil, 0.5)))
      .replacing(with: 1, where: .!(relative .< 0.5))
    answers = zip(
      zip(asymmetry.doubles, (smallestEigenvalue / norms.clamped(.leastNormalMagnitude)).doubles), errorBound.doubles
    ).map { indices, bound in
      if jacobian.outcome != .converged { return .undecided }
      if indices.0 > bound || indices.1 < -bound { return .notOptimal }
      return bound <= resolution ? .optimal : .undecided
    }
  }

  /// The one answer for the map.
  public var answer: TransportAnswer { TransportAnswer(of: answers) }
}

/// Whether the probability flow's map between two times can be an optimal transport.
///
/// - Cost: That of ``flowJacobian(at:under:fisher:from:to:accuracy:)``, and `O(B d³)`.
/// - Parameters:
///   - x: Points at the time `from`, shape `[B, …]`, `float32` or `float64`.
///   - denoiser: The model.
///   - fisher: The products `F v` of its Fisher: exact of exact fields, else by forward differentiation.
///   - from: The time of the points.
///   - to: The time to carry them to, earlier or later.
///   - accuracy: The tolerance; what the element type supports where left out.
/// - Returns: The Jacobians, their indices and what follows.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, corollary 1 and algorithm 3; Brenier 1991, doi:10.1002/cpa.3160440402.
public func transportVerdict<F: FisherAccess>(
  at x: Tensor, under denoiser: some Denoiser, fisher: F, from: Double, to: Double, accuracy: FlowAccuracy? = nil
) -> TransportVerdict where F.Operator: FisherMatvec {
  TransportVerdict(flowJacobian(at: x, under: denoiser, fisher: fisher, from: from, to: to, accuracy: accuracy))
}
