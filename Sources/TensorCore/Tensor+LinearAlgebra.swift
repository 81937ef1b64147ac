import ScorefieldArrays

// Linear algebra over the last two axes; the axes before them are batches.

extension Tensor {
  /// The matrix product; vectors are rows on the left and columns on the right, batches broadcast.
  public func matmul(_ other: Tensor) -> Tensor { Self.matmul(argument, other.argument) }
  /// Sums of products in Einstein's notation, such as `"bi,bj->bij"`.
  public static func einsum(_ equation: String, _ tensors: Tensor...) -> Tensor {
    einsum(.string(equation), .tensors(tensors))
  }
  /// `Σ x y` over the last axis.
  public func dot(_ other: Tensor) -> Tensor { (self * other).sum(-1) }
  /// Distances between the rows of two matrices, `[B, d]`, `[N, d]` → `[B, N]`, from explicit differences.
  ///
  /// Not by way of products, which lose the small distances; without a `[B, N, d]` array.
  /// It has one derivative, backward; ``squaredDistances(to:)`` has all.
  public func distances(to other: Tensor) -> Tensor { Self.cdist(argument, other.argument, .double(2), .int(2)) }
  /// Squares of ``distances(to:)``, which may be differentiated any number of times and in both directions.
  public func squaredDistances(to other: Tensor) -> Tensor {
    let exact = detached().distances(to: other.detached()).squared()
    let expanded =
      squared().sum(-1, keeping: true) - 2 * matmul(other.transposed) + other.squared().sum(-1).expanded(at: -2)
    // The difference is zero; its derivatives are those of |x|² − 2 x·y + |y|².
    return exact + (expanded - expanded.detached())
  }

  /// `A⁻¹ b` by LU with pivoting; `b` is a matrix of columns or, one axis shorter than `A`, vectors.
  public func solve(_ right: Tensor) -> Tensor {
    guard right.rank == 1 || right.shape == shape.dropLast() else { return solveColumns(right) }
    return solveColumns(right.expanded(at: -1)).squeezed(-1)
  }
  // In two steps: the forward derivative of libtorch's single one is a constant to further derivatives.
  private func solveColumns(_ right: Tensor) -> Tensor {
    let factors = Self.factor.all(argument, capacity: 2)
    return Self.solveFactored(factors[0].argument, factors[1].argument, right.argument)
  }
  /// `A⁻¹ b` for a triangular `A`.
  public func solveTriangular(_ right: Tensor, upper: Bool) -> Tensor {
    Self.solveTriangular(argument, right.argument, .flag(upper))
  }
  /// The `x` of least `|A x − b|`.
  public func leastSquares(_ right: Tensor) -> Tensor { Self.lstsq.all(argument, right.argument, capacity: 4)[0] }
  public func inverse() -> Tensor { Self.inverse(argument) }
  /// The lower `L` of `A = L Lᵀ`.
  public func cholesky() -> Tensor { Self.cholesky(argument) }
  /// Eigenvalues, ascending, and eigenvectors, as columns, of a symmetric matrix (its lower triangle is read).
  public func eigh() -> (values: Tensor, vectors: Tensor) {
    let result = Self.eigh.all(argument, capacity: 2)
    return (result[0], result[1])
  }
  /// `A = Q R` with orthonormal columns.
  public func qr() -> (q: Tensor, r: Tensor) {
    let result = Self.qr.all(argument, capacity: 2)
    return (result[0], result[1])
  }
  /// `A = U diag(s) Vᵀ`, reduced, singular values descending.
  public func svd() -> (u: Tensor, s: Tensor, vTransposed: Tensor) {
    let result = Self.svd.all(argument, .flag(false), capacity: 3)
    return (result[0], result[1], result[2])
  }
  /// The determinant; where it is zero it has no derivative here.
  public func determinant() -> Tensor { signedPivots.product(-1) }
  /// The sign of the determinant and the logarithm of its magnitude.
  public func logDeterminant() -> (sign: Tensor, logMagnitude: Tensor) {
    let pivots = signedPivots
    return (pivots.sign().product(-1), pivots.abs().log().sum(-1))
  }
  /// The diagonal of `U` in `P A = L U`, negative where rows changed places: the determinant is its product.
  ///
  /// Not libtorch's determinant, whose forward derivative is a constant to further derivatives.
  private var signedPivots: Tensor {
    let factors = Self.factorAny.all(argument, .flag(true), capacity: 3)
    let pivots = factors[0].diagonal
    let unmoved = Tensor.arange(1..<(pivots.shape[pivots.rank - 1] + 1), on: device)
    return pivots.replacing(with: -pivots, where: factors[1] .!= unmoved)
  }
  /// The sum of the diagonal.
  public var trace: Tensor { diagonal.sum(-1) }
  /// `eᴬ`.
  public func matrixExponential() -> Tensor { Self.matrixExponential(argument) }

  private static let matmul = Operator("aten::matmul")
  private static let einsum = Operator("aten::einsum")
  private static let cdist = Operator("aten::cdist", as: "distances")
  private static let factor = Operator("aten::linalg_lu_factor", as: "solve")
  private static let solveFactored = Operator("aten::linalg_lu_solve", as: "solve")
  private static let factorAny = Operator("aten::linalg_lu_factor_ex", as: "determinant")
  private static let solveTriangular = Operator("aten::linalg_solve_triangular", as: "solveTriangular")
  private static let lstsq = Operator("aten::linalg_lstsq", as: "leastSquares")
  private static let inverse = Operator("aten::linalg_inv", as: "inverse")
  private static let cholesky = Operator("aten::linalg_cholesky", as: "cholesky")
  private static let eigh = Operator("aten::linalg_eigh", as: "eigh")
  private static let qr = Operator("aten::linalg_qr", as: "qr")
  private static let svd = Operator("aten::linalg_svd", as: "svd")
  private static let matrixExponential = Operator("aten::linalg_matrix_exp", as: "matrixExponential")
}
