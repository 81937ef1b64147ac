import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// The Fisher of any denoiser by reverse differentiation.
///
///     vᵀF = (v − α (∂x̂₀/∂x)ᵀ v)/σ²,   which is (1/σ) vᵀ ∂ε̂/∂x
///
/// The transpose of what ``JVPFisher`` applies: the same for an exact field, not for a learned one. Rounding of relative size
/// `ε` in `x̂₀` costs `ε/(σ² |F|)` where `α ∂x̂₀/∂x` is near the identity, as it is of smooth data at small σ.
///
/// - Cost: One evaluation per batch of points, whose record is kept, and one backward pass per product; several products
///   share passes, in memory that grows with their number. No Jacobian is formed.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, eqs. 7–9 and 19, for any parameterisation.
public struct VJPFisher: FisherAccess {
  public let denoiser: any Denoiser

  public init(_ denoiser: any Denoiser) { self.denoiser = denoiser }

  public func fisher(at x: Tensor, time t: Double) -> At {
    At(
      kernel: denoiser.schedule.kernel(at: t),
      pullback: vjp(at: x) { [denoiser] in denoiser.denoise($0, at: t) }.pullback)
  }

  /// The Fisher at a batch of points, differentiated.
  public struct At: FisherMatvec, @unchecked Sendable {
    // Sound: a backward pass reads the record and changes nothing of it.
    fileprivate let kernel: PerturbationKernel
    fileprivate let pullback: (Tensor) -> Tensor

    public func matvec(_ v: Tensor) -> Tensor { kernel.fisherProduct(v, response: pullback(v)) }
    public func matvecs(_ block: Tensor) -> Tensor {
      kernel.fisherProduct(block, response: vmap(over: block, pullback))
    }
  }
}
