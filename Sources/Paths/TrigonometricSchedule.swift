import RealModule

/// The quarter of a circle from data to noise.
///
///     α(t) = cos(π t/2),   σ(t) = sin(π t/2)
///
/// Source: Albergo & Vanden-Eijnden 2023, arXiv:2209.15571, section 2, with time reversed.
public struct TrigonometricSchedule: NoiseSchedule {
  public var timeRange: ClosedRange<Double> { 1e-5...(1 - 1e-5) }

  public init() {}

  // Not cos(π t/2), whose last digits the rounding of π t/2 takes as t → 1.
  public func alpha<S: Elementary>(_ t: S) -> S { .sin(S(.pi / 2) * (1 - t)) }
  public func sigma<S: Elementary>(_ t: S) -> S { .sin(S(.pi / 2) * t) }
  public func time(atHalfLogSNR halfLogSNR: Double) -> Double {
    inRange(.atan(.exp(-halfLogSNR)) / (.pi / 2), at: halfLogSNR)
  }
}

extension NoiseSchedule where Self == TrigonometricSchedule {
  public static var trigonometric: Self { Self() }
}
