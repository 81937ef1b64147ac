import ScorefieldTensorCore

/// How far the matrices of a batch are from Hessians of convex functions: the certificate of an optimal map, by its Jacobian.
///
///     asymmetry = |A − Aᵀ|/(2|A|),   offDiagonal = |A − Aᵀ|/(√2 |A − diag A|),   smallestEigenvalue = λ₁((A + Aᵀ)/2)
///
/// Norms are Frobenius's, and what has nothing to be compared with is 0. A map is the gradient of a convex function, and so
/// optimal between its ends for the squared cost, exactly where its Jacobian is symmetric and has no negative eigenvalue.
///
/// - Cost: `O(B d³)`, for the eigenvalues.
///
/// Source: Brenier 1991, doi:10.1002/cpa.3160440402.
public struct GradientIndices: Sendable {
  /// 0 for a symmetric and 1 for an antisymmetric matrix, shape `[B]`.
  public let asymmetry: Tensor
  /// The same of the elements beside the diagonal alone, which a large diagonal cannot hide: 0 for a symmetric matrix, 1 where
  /// one of each pair is zero, √2 for an antisymmetric one; shape `[B]`.
  public let offDiagonal: Tensor
  /// Of the symmetric part, in the units of the matrices, shape `[B]`.
  public let smallestEigenvalue: Tensor

  /// The indices of every matrix.
  ///
  /// - Parameter matrices: Shape `[B, d, d]`; such as the Jacobians of a map at `B` points.
  public init(of matrices: Tensor) {
    guard matrices.rank == 3, matrices.shape[1] == matrices.shape[2], matrices.shape[1] > 0 else {
      fatalError("GradientIndices(of: \(matrices.shape)): needs square matrices, [B, d, d]")
    }
    let whole = matrices.to(.float64)
    // Squares of the elements could overflow or vanish; those of their ratios to the largest cannot.
    let size = whole.abs().max(-2, -1, keeping: true)
    let scaled = whole / size.replacing(with: 1, where: size .== 0)
    let (skew, aside) = (scaled - scaled.transposed, scaled - scaled.diagonal.diagonalMatrix)

    asymmetry = Self.ratio(skew, to: 2 * scaled)
    offDiagonal = Self.ratio(skew, to: 2.0.squareRoot() * aside)
    smallestEigenvalue = (0.5 * (scaled + scaled.transposed)).eigh().values[Axis.all, 0] * size.reshaped([-1])
  }

  private static func ratio(_ part: Tensor, to whole: Tensor) -> Tensor {
    let norm = whole.norm(-2, -1)
    return part.norm(-2, -1) / norm.replacing(with: 1, where: norm .== 0)
  }
}
