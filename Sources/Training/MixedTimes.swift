/// A mixture of two distributions: the first with probability `share`.
public struct MixedTimes: TimeDistribution {
  public let share: Double
  public let first, second: any TimeDistribution

  public init(_ share: Double, of first: any TimeDistribution, else second: any TimeDistribution) {
    guard (0...1).contains(share) else { fatalError("MixedTimes(\(share)): the share lies between 0 and 1") }
    (self.share, self.first, self.second) = (share, first, second)
  }

  /// Not a quantile of the mixture in order of time: the draws below `share` are the first's.
  public func time(atQuantile u: Double) -> Double {
    u < share || share == 1
      ? first.time(atQuantile: u / share) : second.time(atQuantile: min((u - share) / (1 - share), 1))
  }

  public func density(at t: Double) -> Double {
    share * first.density(at: t) + (1 - share) * second.density(at: t)
  }
}
