/// A schedule whose formulas are used below the first of its times.
///
/// Where a range begins is a convention that keeps networks from times they were not trained at. An exact field knows no such
/// times, and a flow that is compared between schedules ends at one noise level for all.
public struct ContinuedSchedule: NoiseSchedule {
  public let base: any NoiseSchedule
  public let timeRange: ClosedRange<Double>

  /// A schedule down to a noise level, as far as its formulas go; nil where they do not reach it, as those of tables.
  ///
  /// - Parameters:
  ///   - base: The schedule.
  ///   - ratio: The smallest `σ/α` that is wanted, positive.
  public init?(_ base: any NoiseSchedule, downToNoiseToSignal ratio: Double) {
    guard ratio > 0, base.timeRange.lowerBound > 0, !(base is DiscreteSchedule) else { return nil }
    self.base = base
    var first = base.timeRange.lowerBound
    while base.sigma(first) / base.alpha(first) > ratio {
      first /= 2
      guard first > 1e-300 else { return nil }
    }
    timeRange = first...base.timeRange.upperBound
  }

  public func alpha<S: Elementary>(_ t: S) -> S { base.alpha(t) }
  public func sigma<S: Elementary>(_ t: S) -> S { base.sigma(t) }
}
