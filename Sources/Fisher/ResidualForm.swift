import ScorefieldPaths
import ScorefieldTensorCore

extension PerturbationKernel {
  /// The trace of the Fisher from the part of the noise that cannot be guessed.
  ///
  ///     tr F = (d − V)/σ²,   V = E[|ε − E[ε|x_t]|² | x_t] = (α²/σ²) tr C
  ///
  /// `V` lies between 0 and about `d`: nothing is amplified in it, and a likelihood integrates `σ² tr F` as `d − V`.
  ///
  /// - Parameters:
  ///   - residual: `V`, any shape.
  ///   - dimension: `d`.
  /// - Returns: `tr F`, in the same shape.
  ///
  /// Source: Wang et al. 2025, arXiv:2505.23264, proposition 5, with the covariance centred.
  public func fisherTrace(residual: Tensor, dimension: Int) -> Tensor {
    (Double(dimension) - residual) / (sigma * sigma)
  }

  /// `V = d − σ² tr F`, the inverse of ``fisherTrace(residual:dimension:)``.
  public func residual(fisherTrace trace: Tensor, dimension: Int) -> Tensor {
    Double(dimension) - (sigma * sigma) * trace
  }

  /// The Fisher applied to a vector, from the derivative of the denoiser applied to it.
  ///
  ///     F v = (v − α (∂x̂₀/∂x) v)/σ²
  ///
  /// The derivative of `−score = (x − α x̂₀)/σ²`; only σ, which is never zero, divides.
  ///
  /// - Parameters:
  ///   - v: The vector.
  ///   - response: `(∂x̂₀/∂x) v`, in its shape.
  /// - Returns: `F v`, in the same shape.
  func fisherProduct(_ v: Tensor, response: Tensor) -> Tensor { (v - alpha * response) / (sigma * sigma) }
}
