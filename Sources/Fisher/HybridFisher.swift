import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// A learned trace where the data are smooth, and the exact one over the nearest data points where these are proven to be
/// enough.
///
/// A network that generalises cannot know the data set below the spacing of its points; there a few points are all of the
/// posterior, and their trace is exact within a bound. Which of the two answered is part of the answer.
///
/// - Cost: That of both.
public struct HybridFisher<Learned: FisherAccess>: FisherAccess where Learned.Operator: FisherTrace {
  public let learned: Learned
  public let retrieval: RetrievalFisher
  /// The bound on `|V − V_k|/d` up to which the nearest points answer.
  public let tolerance: Double

  public init(_ learned: Learned, or retrieval: RetrievalFisher, tolerance: Double = 1e-3) {
    (self.learned, self.retrieval, self.tolerance) = (learned, retrieval, tolerance)
  }

  public func fisher(at x: Tensor, time t: Double) -> At {
    let exact = retrieval.fisher(at: x, time: t)
    let dimension = Double(x.count / max(x.batch, 1))
    let isExact = exact.residualBound .<= tolerance * dimension
    return At(
      isExact: isExact,
      value: learned.fisher(at: x, time: t).trace().replacing(with: exact.trace(), where: isExact),
      traceBound: exact.traceBound.replacing(with: .nan, where: .!isExact))
  }

  /// The trace at a batch of points.
  public struct At: FisherTrace {
    /// Where the nearest points answered, `bool`, shape `[B]`.
    public let isExact: Tensor
    fileprivate let value: Tensor
    /// How far the answer is at most from the whole data set's, shape `[B]`; not a number where the network answered.
    public let traceBound: Tensor

    public func trace() -> Tensor { value }
    /// The share of the points that the nearest data answered.
    public var exactShare: Double { isExact.to(.float64).mean().item }
  }
}
