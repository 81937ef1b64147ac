import ScorefieldTensorCore

/// A mean and a covariance, checked, with the covariance's eigenvectors.
struct Moments: Sendable {
  let mean, covariance: Tensor
  /// `Σ^½`; what is not larger than rounding is zero.
  let root: Tensor

  init(_ operation: String, _ law: (mean: Tensor, covariance: Tensor)) {
    guard law.mean.rank == 1, law.mean.count > 0, law.covariance.shape == [law.mean.count, law.mean.count] else {
      fatalError("\(operation)(\(law.mean.shape), \(law.covariance.shape)): needs a mean [d] and a covariance [d, d]")
    }
    let matrix = law.covariance.to(.float64)
    guard law.mean.isFinite().all(), matrix.isFinite().all(),
      ((matrix - matrix.transposed).abs() .<= 1e-10 * matrix.abs().max()).all()
    else {
      fatalError(
        "\(operation)(\(law.mean.shape), \(law.covariance.shape)): needs finite numbers and a symmetric covariance")
    }
    mean = law.mean.to(.float64)
    covariance = 0.5 * (matrix + matrix.transposed)
    let (values, vectors) = covariance.eigh()
    let least = values.min().item
    let negligible = Double(mean.count) * 0x1p-52 * values.abs().max().item
    guard least >= -1e-10 * values.abs().max().item else {
      fatalError("\(operation)(\(law.mean.shape), \(law.covariance.shape)): the covariance has the eigenvalue \(least)")
    }
    let deviations = values.replacing(with: 0, where: values .<= negligible).sqrt()
    root = (vectors * deviations).matmul(vectors.transposed)
  }

  /// `log N(x; m, Σ)` less its constant, shape `[B]`.
  func logDensity(_ x: Tensor) -> Tensor {
    let deviation = x - mean
    return -0.5
      * (deviation.dot(covariance.solve(deviation.transposed).transposed) + covariance.logDeterminant().logMagnitude)
  }
}
