import ScorefieldFields
import ScorefieldTensorCore

/// The trace of any Fisher product by all basis vectors, `tr F = Σᵢ eᵢᵀ F eᵢ`: exact.
///
/// - Cost: `d` products per trace, several at a time.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, eq. 15.
public struct FullTrace<Base: FisherAccess>: FisherAccess where Base.Operator: FisherMatvec {
  public let base: Base

  public init(_ base: Base) { self.base = base }

  public func fisher(at x: Tensor, time t: Double) -> At { At(base: base.fisher(at: x, time: t), x: x) }

  /// The Fisher at a batch of points.
  public struct At: FisherOperator {
    fileprivate let base: Base.Operator
    fileprivate let x: Tensor

    public func trace() -> Tensor { base.diagonal(like: x).flattened.sum(-1) }
    public func matvec(_ v: Tensor) -> Tensor { base.matvec(v) }
    public func matvecs(_ block: Tensor) -> Tensor { base.matvecs(block) }
  }
}
