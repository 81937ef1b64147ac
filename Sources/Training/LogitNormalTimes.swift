import RealModule

/// Times of which `log(t/(1 − t))`, within a range, is normal.
///
/// Source: Esser et al. 2024, arXiv:2403.03206, eq. 19.
public struct LogitNormalTimes: TimeDistribution {
  public let range: ClosedRange<Double>
  public let mean, standardDeviation: Double

  public init(_ range: ClosedRange<Double>, mean: Double = 0, standardDeviation: Double = 1) {
    guard standardDeviation > 0 else {
      fatalError("LogitNormalTimes(standardDeviation: \(standardDeviation)): must be > 0")
    }
    (self.range, self.mean, self.standardDeviation) = (range, mean, standardDeviation)
  }

  public func time(atQuantile u: Double) -> Double {
    let logit = mean + standardDeviation * NormalQuantile.value(at: u)
    let share = logit >= 0 ? 1 / (1 + .exp(-logit)) : .exp(logit) / (1 + .exp(logit))
    return range.lowerBound + share * (range.upperBound - range.lowerBound)
  }

  public func density(at t: Double) -> Double {
    let width = range.upperBound - range.lowerBound
    let share = (t - range.lowerBound) / width
    guard share > 0, share < 1 else { return 0 }
    let z = (.log(share / (1 - share)) - mean) / standardDeviation
    return .exp(-0.5 * z * z) / ((2 * .pi).squareRoot() * standardDeviation * share * (1 - share) * width)
  }
}
