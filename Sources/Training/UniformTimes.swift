/// Times uniform over a range.
public struct UniformTimes: TimeDistribution {
  public let range: ClosedRange<Double>

  public init(_ range: ClosedRange<Double>) { self.range = range }

  public func time(atQuantile u: Double) -> Double {
    range.lowerBound + u * (range.upperBound - range.lowerBound)
  }
  public func density(at t: Double) -> Double {
    range.contains(t) ? 1 / (range.upperBound - range.lowerBound) : 0
  }
}
