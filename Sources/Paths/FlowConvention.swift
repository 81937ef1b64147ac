/// A path in the other convention of time: from a source of noise at 0 to the target, the data, at the end.
///
///     x_τ = a(τ) source + b(τ) target,   τ = T − t,   a(τ) = σ(T − τ),   b(τ) = α(T − τ)
///
/// Densities are the same at the same place of the path; velocities change their sign.
///
/// Source: Lipman et al. 2023, arXiv:2210.02747, section 2.
public struct FlowConvention: Sendable {
  public let schedule: any NoiseSchedule
  /// `T`: 1 for schedules on the unit interval.
  public let duration: Double

  /// A schedule's path in flow time.
  ///
  /// - Parameters:
  ///   - schedule: How data become noise, in diffusion time.
  ///   - duration: `T`; where left out, the schedule's last time, rounded up to a whole number.
  public init(_ schedule: any NoiseSchedule, duration: Double? = nil) {
    (self.schedule, self.duration) = (schedule, duration ?? schedule.timeRange.upperBound.rounded(.up))
  }

  /// From flow time to diffusion time, or back.
  public func reversed(_ time: Double) -> Double { duration - time }

  /// `a(τ)`, the weight of the noise.
  public func source(_ flowTime: Double) -> Double { schedule.sigma(reversed(flowTime)) }
  /// `b(τ)`, the weight of the data.
  public func target(_ flowTime: Double) -> Double { schedule.alpha(reversed(flowTime)) }
  /// `da/dτ`.
  public func sourceRate(_ flowTime: Double) -> Double { -schedule.kernel(at: reversed(flowTime)).sigmaRate }
  /// `db/dτ`.
  public func targetRate(_ flowTime: Double) -> Double { -schedule.kernel(at: reversed(flowTime)).alphaRate }
}
