import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// The Fisher of any denoiser by forward differentiation.
///
///     F v = (v − α (∂x̂₀/∂x) v)/σ²
///
/// - Cost: One evaluation that carries a derivative, about two plain ones, per product; nothing is recorded. No Jacobian is
///   formed.
public struct JVPFisher: FisherAccess {
  public let denoiser: any Denoiser

  public init(_ denoiser: any Denoiser) { self.denoiser = denoiser }

  public func fisher(at x: Tensor, time t: Double) -> At { At(denoiser: denoiser, x: x, t: t) }

  /// The Fisher at a batch of points.
  public struct At: FisherMatvec {
    fileprivate let denoiser: any Denoiser
    fileprivate let x: Tensor
    fileprivate let t: Double

    public func matvec(_ v: Tensor) -> Tensor { product(x, v) }
    public func matvecs(_ block: Tensor) -> Tensor { ScorefieldFisher.matvecs(block, at: x, by: product) }

    private func product(_ x: Tensor, _ v: Tensor) -> Tensor {
      denoiser.schedule.kernel(at: t).fisherProduct(
        v, response: jvp(at: x, along: v) { denoiser.denoise($0, at: t) }.derivative)
    }
  }
}
