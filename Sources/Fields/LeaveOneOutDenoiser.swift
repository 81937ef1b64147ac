import ScorefieldPaths
import ScorefieldTensorCore

/// The exact field of a data set as each of its points sees it: without that point.
///
/// Row by row of a batch another point is missing and the weights of the others sum to 1, so that the likelihood of the
/// data under their own field is an honest one. Batches must be whole: every one has the rows it was made for, in order.
///
/// - Cost: That of the data set's own field.
public struct LeaveOneOutDenoiser: ExactField {
  public let base: EmpiricalDenoiser
  private let omission: EmpiricalDenoiser.Omission

  fileprivate init(_ base: EmpiricalDenoiser, _ omission: EmpiricalDenoiser.Omission) {
    (self.base, self.omission) = (base, omission)
  }

  public var schedule: any NoiseSchedule { base.schedule }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor { base.denoise(x, at: t, without: omission) }

  public func posterior(_ x: Tensor, at t: Double, along direction: Tensor?) -> PosteriorMoments {
    base.posterior(x, at: t, along: direction, without: omission)
  }
}

extension EmpiricalDenoiser {
  /// The field for a batch of queries, each without one of the data.
  ///
  /// - Parameter positions: Which of the data each query does without, `int64`, shape `[B]`. Stops where one of them is
  ///   the whole data set.
  /// - Returns: A field that answers batches of `B` queries.
  public func leavingOut(_ positions: Tensor) -> LeaveOneOutDenoiser {
    LeaveOneOutDenoiser(self, omission(of: positions))
  }
}
