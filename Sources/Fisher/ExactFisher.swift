import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// The exact Fisher of a field whose posterior is known.
///
///     F = I/σ² − (α²/σ⁴) C,   C = Cov[x₀ | x_t = x]
///
/// - Cost: One posterior per trace or product: for a data set one stream over the data, `O(B·N·d)`; no `d × d` matrix is
///   formed.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, propositions 1 and 3.
public struct ExactFisher: FisherAccess, TracedDenoiser {
  public let field: any ExactField
  public var schedule: any NoiseSchedule { field.schedule }
  public var exactField: (any ExactField)? { field }

  public init(_ field: any ExactField) { self.field = field }

  public func fisher(at x: Tensor, time t: Double) -> At { At(field: field, x: x, t: t) }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor { field.denoise(x, at: t) }

  public func denoiseWithTraces(_ x: Tensor, at t: Double) -> (data: Tensor, traces: Tensor) {
    let posterior = field.posterior(x, at: t)
    return (posterior.mean, posterior.fisherTrace.expanded(at: 0))
  }

  /// The exact Fisher at a batch of points.
  public struct At: FisherOperator {
    fileprivate let field: any ExactField
    fileprivate let x: Tensor
    fileprivate let t: Double

    public func trace() -> Tensor { field.posterior(x, at: t).fisherTrace }
    public func matvec(_ v: Tensor) -> Tensor { product(x, v) }
    public func matvecs(_ block: Tensor) -> Tensor { ScorefieldFisher.matvecs(block, at: x, by: product) }

    private func product(_ x: Tensor, _ v: Tensor) -> Tensor {
      field.posterior(x, at: t, along: v).fisherProduct(with: v)
    }
  }
}
