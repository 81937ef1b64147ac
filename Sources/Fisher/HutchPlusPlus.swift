import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// Estimates the trace of any Fisher product, exactly where few directions carry it and from random probes elsewhere.
///
///     K = I − σ² F = (α²/σ²) C,   Q = orth(K S),   P = I − Q Qᵀ
///     tr F = (d − tr Qᵀ K Q − E[zᵀ P K P z])/σ²
///
/// It is `K`, not `F`, that is sketched: data near few dimensions give it a low rank and `F = (I − K)/σ²` none, and the
/// identity, known exactly, brings no variance. Exact where the rank of `K` is at most `probes/3`.
///
/// - Cost: `probes` products per trace: a third for the sketch, a third for its trace, the rest for the residual; `O(B·d·probes)`
///   memory and one batched QR. No Jacobian is formed.
///
/// Source: Meyer, Musco, Musco & Woodruff 2021, arXiv:2010.09649, algorithm 1.
public struct HutchPlusPlus<Base: FisherAccess>: FisherAccess where Base.Operator: FisherMatvec {
  public let base: Base
  public let probes: Int
  public let seed: UInt64
  public let schedule: any NoiseSchedule
  public let distribution: ProbeDistribution

  /// An estimator of a Fisher's trace.
  ///
  /// - Parameters:
  ///   - base: What gives the products.
  ///   - probes: The number of products per trace, at least 3.
  ///   - seed: What the probes are drawn from; the same at every time, as those of ``Hutchinson``.
  ///   - schedule: The schedule of the base, for σ.
  ///   - distribution: What the probes are drawn from.
  public init(
    _ base: Base, probes: Int, seed: UInt64, on schedule: any NoiseSchedule,
    distribution: ProbeDistribution = .rademacher
  ) {
    guard probes >= 3 else { fatalError("HutchPlusPlus(probes: \(probes)): needs at least three") }
    (self.base, self.probes, self.seed) = (base, probes, seed)
    (self.schedule, self.distribution) = (schedule, distribution)
  }

  public func fisher(at x: Tensor, time t: Double) -> At {
    At(base: base.fisher(at: x, time: t), x: x, kernel: schedule.kernel(at: t), estimator: self)
  }

  /// The Fisher at a batch of points.
  public struct At: FisherOperator {
    fileprivate let base: Base.Operator
    fileprivate let x: Tensor
    fileprivate let kernel: PerturbationKernel
    fileprivate let estimator: HutchPlusPlus

    public func trace() -> Tensor { traceSamples().mean(0) }

    /// One row per residual probe; they share the sketch, given which they are independent and unbiased.
    public func traceSamples() -> Tensor {
      var generator = Generator(seed: estimator.seed, on: x.device)
      let width = min(estimator.probes / 3, x.dimension)
      let sketch = estimator.distribution.draw(width, like: x, using: &generator)
      // [n, B, d], as blocks are; the QR is of [B, d, n].
      let q = complement(sketch).vectors.permuted(1, 2, 0).qr().q.permuted(2, 0, 1)
      let captured = q.dot(complement(q.reshaped(sketch.shape)).vectors).sum(0)

      let rest = estimator.distribution.samples(estimator.probes - 2 * width, like: x, using: &generator) { z in
        let inside = Tensor.einsum("nbm,mbd->nbd", Tensor.einsum("nbd,mbd->nbm", z.vectors, q), q)
        let outside = z.vectors - inside
        return outside.dot(complement(outside.reshaped(z.shape)).vectors)
      }
      return kernel.fisherTrace(residual: captured + rest, dimension: x.dimension)
    }

    /// `K z = z − σ² F z`.
    private func complement(_ block: Tensor) -> Tensor {
      block - (kernel.sigma * kernel.sigma) * base.boundedMatvecs(block)
    }

    public func matvec(_ v: Tensor) -> Tensor { base.matvec(v) }
    public func matvecs(_ block: Tensor) -> Tensor { base.matvecs(block) }
  }
}
