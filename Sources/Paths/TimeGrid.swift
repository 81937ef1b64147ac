import RealModule

/// The times a solver visits, in order.
public struct TimeGrid: Sendable, Equatable {
  /// Two or more, all rising or all falling.
  public let times: [Double]

  /// The grid of given times.
  public init(_ times: [Double]) {
    guard times.count >= 2 else { fatalError("TimeGrid(\(times)): needs at least two times") }
    let steps = zip(times, times.dropFirst())
    guard times.allSatisfy(\.isFinite), steps.allSatisfy({ $0 < $1 }) || steps.allSatisfy({ $0 > $1 }) else {
      fatalError("TimeGrid(\(times.count) times): times must all rise or all fall")
    }
    self.times = times
  }

  /// The number of steps, one less than there are times.
  public var steps: Int { times.count - 1 }
  public var first: Double { times[0] }
  public var last: Double { times[times.count - 1] }
  /// The same times in the other direction.
  public var reversed: TimeGrid { TimeGrid(times.reversed()) }
}

extension TimeGrid {
  /// Steps of equal length in time.
  ///
  /// - Parameters:
  ///   - steps: How many, at least one.
  ///   - schedule: What the times are times of.
  ///   - from: The first time; where left out, the schedule's last.
  ///   - to: The last time; where left out, the schedule's first.
  /// - Returns: The grid, whose ends are exact.
  public static func uniform(
    _ steps: Int, over schedule: any NoiseSchedule, from: Double? = nil, to: Double? = nil
  ) -> TimeGrid {
    graded(steps, over: schedule, from, to, by: { $0 }, back: { $0 })
  }

  /// Steps of equal length in `log(α/σ)`.
  ///
  /// - Parameters:
  ///   - steps: How many, at least one.
  ///   - schedule: What the times are times of.
  ///   - from: The first time; where left out, the schedule's last.
  ///   - to: The last time; where left out, the schedule's first.
  /// - Returns: The grid, whose ends are exact.
  ///
  /// Source: Lu et al. 2022, arXiv:2206.00927, section 3.4.
  public static func uniformHalfLogSNR(
    _ steps: Int, over schedule: any NoiseSchedule, from: Double? = nil, to: Double? = nil
  ) -> TimeGrid {
    graded(
      steps, over: schedule, from, to, by: { schedule.kernel(at: $0).halfLogSNR },
      back: { schedule.time(atHalfLogSNR: $0) })
  }

  /// Steps of equal length in `(σ/α)^(1/ρ)`.
  ///
  /// - Parameters:
  ///   - steps: How many, at least one.
  ///   - schedule: What the times are times of.
  ///   - rho: How much finer the grid is near the data.
  ///   - from: The first time; where left out, the schedule's last.
  ///   - to: The last time; where left out, the schedule's first.
  /// - Returns: The grid, whose ends are exact.
  ///
  /// Source: Karras et al. 2022, arXiv:2206.00364, eq. 5.
  public static func karras(
    _ steps: Int, over schedule: any NoiseSchedule, rho: Double = 7, from: Double? = nil, to: Double? = nil
  ) -> TimeGrid {
    guard rho > 0, rho.isFinite else { fatalError("TimeGrid.karras(rho: \(rho)): rho must be larger than 0") }
    return graded(
      steps, over: schedule, from, to, by: { .pow(schedule.kernel(at: $0).noiseToSignal, 1 / rho) },
      back: { schedule.time(atNoiseToSignal: .pow($0, rho)) })
  }

  /// Steps of equal length in a function of time.
  private static func graded(
    _ steps: Int, over schedule: any NoiseSchedule, _ from: Double?, _ to: Double?, by function: (Double) -> Double,
    back inverse: (Double) -> Double
  ) -> TimeGrid {
    guard steps >= 1 else { fatalError("TimeGrid(\(steps) steps): needs at least one") }
    let range = schedule.timeRange
    let (from, to) = (from ?? range.upperBound, to ?? range.lowerBound)
    guard range.contains(from), range.contains(to) else {
      fatalError("TimeGrid(from: \(from), to: \(to)): outside the schedule's range \(range)")
    }
    let (start, end) = (function(from), function(to))
    guard start.isFinite, end.isFinite else {
      fatalError(
        "TimeGrid(from: \(from), to: \(to)): no noise or no data is left at an end, which no step in σ/α reaches; "
          + "stop before it")
    }
    let inner = (1..<steps).map { inverse(start + (end - start) * (Double($0) / Double(steps))) }
    return TimeGrid([from] + inner + [to])
  }
}
