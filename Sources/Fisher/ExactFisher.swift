import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// The exact Fisher of a field whose posterior is known.
///
///     F = I/σ² − (α²/σ⁴) C,   C = Cov[x₀ | x_t = x]
///
/// - Cost: One stream over the data per trace or product, `O(B·N·d)`; no `d × d` matrix is formed.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, propositions 1 and 3.
public struct ExactFisher: FisherAccess {
  public let denoiser: EmpiricalDenoiser

  public init(_ denoiser: EmpiricalDenoiser) { self.denoiser = denoiser }

  public func fisher(at x: Tensor, time t: Double) -> At { At(denoiser: denoiser, x: x, t: t) }

  /// The exact Fisher at a batch of points.
  public struct At: FisherOperator {
    fileprivate let denoiser: EmpiricalDenoiser
    fileprivate let x: Tensor
    fileprivate let t: Double

    public func trace() -> Tensor { denoiser.posterior(x, at: t).fisherTrace }
    public func matvec(_ v: Tensor) -> Tensor { denoiser.posterior(x, at: t, along: v).fisherProduct(with: v) }
  }
}
