/// How much a guidance weighs, at each time.
public struct GuidanceScale: Sendable {
  private let value: @Sendable (Double) -> Double

  /// A weight that depends on the time, a finite number at every one.
  public init(at value: @escaping @Sendable (Double) -> Double) { self.value = value }

  /// The same weight at all times.
  public static func constant(_ weight: Double) -> GuidanceScale {
    guard weight.isFinite else { fatalError("GuidanceScale.constant(\(weight)): must be finite") }
    return GuidanceScale { _ in weight }
  }

  /// A weight at some times, and another, that of no guidance, at all others.
  ///
  /// Source: Kynkäänniemi et al. 2024, arXiv:2404.07724, eq. 6.
  ///
  /// - Parameters:
  ///   - weight: The weight within the times.
  ///   - times: From the first to the last, both included.
  ///   - other: The weight elsewhere: 1 is the conditional model of classifier-free guidance, 0 the base of any other.
  /// - Returns: The weight at each time.
  public static func constant(_ weight: Double, within times: ClosedRange<Double>, else other: Double) -> GuidanceScale
  {
    guard weight.isFinite, other.isFinite else {
      fatalError("GuidanceScale.constant(\(weight), else: \(other)): must be finite")
    }
    return GuidanceScale { times.contains($0) ? weight : other }
  }

  /// The weight at a time.
  public func callAsFunction(at t: Double) -> Double {
    let weight = value(t)
    guard weight.isFinite else { fatalError("GuidanceScale(at: \(t)): is \(weight); must be finite") }
    return weight
  }
}
