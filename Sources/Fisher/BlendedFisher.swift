import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// The exact Fisher over the nearest data points where these are all that matters, and the data's normal distribution elsewhere: no
/// network, no gradient.
///
/// At small `σ/α` few points are all of the posterior; at large `σ/α` their covariance is. Between them neither is, and the answer is
/// the better of two that are not good: ``At/isExact`` says which it was, per point.
///
/// - Cost: `O(B N d)` per batch of points to find the nearest, and `O(B (k + r) d)` per product.
public struct BlendedFisher: FisherAccess {
  public let retrieval: RetrievalFisher
  public let gaussian: GaussianFisher
  /// The weight left out up to which the nearest points answer.
  public let tolerance: Double
  private let type: ElementType

  /// The Fisher of a data set.
  ///
  /// - Parameters:
  ///   - data: The points, shape `[N, …]`.
  ///   - weights: Their relative weights, shape `[N]`, positive; equal where left out.
  ///   - count: How many of the nearest are kept.
  ///   - tolerance: The weight left out up to which they answer, against that of those kept.
  ///   - schedule: How the data become noise.
  public init(
    data: Tensor, weights: Tensor? = nil, nearest count: Int = 128, tolerance: Double = 0.05,
    on schedule: any NoiseSchedule
  ) {
    retrieval = RetrievalFisher(data, weights: weights, nearest: count, on: schedule)
    gaussian = GaussianFisher(data: data, weights: weights, on: schedule)
    type = data.elementType
    self.tolerance = tolerance
  }

  public func fisher(at x: Tensor, time t: Double) -> At {
    let near = retrieval.fisher(at: x, time: t)
    return At(
      near: near, far: gaussian.fisher(at: x.to(type), time: t), type: type, isExact: near.weightLeftOut .<= tolerance,
      axes: [x.batch] + [Int](repeating: 1, count: x.rank - 1))
  }

  /// The Fisher at a batch of points.
  public struct At: FisherOperator {
    fileprivate let near: RetrievalFisher.At
    fileprivate let far: GaussianFisher.At
    fileprivate let type: ElementType
    /// Where the nearest points answered, `bool`, shape `[B]`.
    public let isExact: Tensor
    fileprivate let axes: [Int]

    public func trace() -> Tensor {
      far.trace().to(near.trace().elementType).replacing(with: near.trace(), where: isExact)
    }
    public func matvec(_ v: Tensor) -> Tensor {
      far.matvec(v.to(type)).to(v.elementType).replacing(
        with: near.matvec(v).to(v.elementType), where: isExact.reshaped(axes))
    }
  }
}
