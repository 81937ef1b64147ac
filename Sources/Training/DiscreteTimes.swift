/// The timesteps `first…last` of a discrete schedule, equally likely.
///
/// The density is the probability of a step: an integral over it is a sum over the steps.
public struct DiscreteTimes: TimeDistribution {
  public let steps: ClosedRange<Int>

  public init(_ steps: ClosedRange<Int>) { self.steps = steps }

  public func time(atQuantile u: Double) -> Double {
    Double(min(steps.lowerBound + Int(u * Double(steps.count)), steps.upperBound))
  }
  public func density(at t: Double) -> Double {
    t == t.rounded() && steps.contains(Int(t)) ? 1 / Double(steps.count) : 0
  }
}
