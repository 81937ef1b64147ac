import ScorefieldFields
import ScorefieldTensorCore

/// Estimates the trace of any Fisher product from random probes, `tr F = E[zᵀ F z]` with `E[z zᵀ] = I`.
///
/// Unbiased. With Rademacher probes the variance of one is `2 Σ_{i≠j} F²ᵢⱼ` for a symmetric `F`, zero where it is diagonal;
/// with normal ones `2 Σᵢⱼ F²ᵢⱼ`. The probes depend on the seed and the shape of the points alone: they are the same at
/// every time, so that the right-hand side of a differential equation is a function.
///
/// - Cost: `probes` products per trace. No Jacobian is formed.
///
/// Source: Hutchinson 1989, doi:10.1080/03610918908812806.
public struct Hutchinson<Base: FisherAccess>: FisherAccess where Base.Operator: FisherMatvec {
  public let base: Base
  public let probes: Int
  public let seed: UInt64
  public let distribution: ProbeDistribution

  public init(_ base: Base, probes: Int, seed: UInt64, distribution: ProbeDistribution = .rademacher) {
    guard probes > 0 else { fatalError("Hutchinson(probes: \(probes)): needs at least one") }
    (self.base, self.probes, self.seed, self.distribution) = (base, probes, seed, distribution)
  }

  public func fisher(at x: Tensor, time t: Double) -> At {
    At(base: base.fisher(at: x, time: t), x: x, estimator: self)
  }

  /// The Fisher at a batch of points.
  public struct At: FisherOperator {
    fileprivate let base: Base.Operator
    fileprivate let x: Tensor
    fileprivate let estimator: Hutchinson

    public func trace() -> Tensor { traceSamples().mean(0) }

    public func traceSamples() -> Tensor {
      var generator = Generator(seed: estimator.seed, on: x.device)
      return estimator.distribution.samples(
        estimator.probes, like: x, using: &generator, of: base.quadraticForms)
    }

    public func matvec(_ v: Tensor) -> Tensor { base.matvec(v) }
    public func matvecs(_ block: Tensor) -> Tensor { base.matvecs(block) }
  }
}
