import RealModule

/// How the learning rate goes with the step, counted from 1.
public enum LearningRateSchedule: Codable, Equatable, Sendable {
  /// The same at every step, after a linear warm-up.
  case constant(Double, warmup: Int = 0)
  /// Half a cosine from the peak at the end of the warm-up to the floor at the last step, where it stays.
  ///
  ///     η(n) = floor + (peak − floor) (1 + cos π s)/2,   s = (n − warmup)/(steps − warmup)
  ///
  /// Source: Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5.
  case cosine(peak: Double, steps: Int, warmup: Int = 0, floor: Double = 0)
  /// The peak until a step, and then as one over the square root of time.
  ///
  ///     η(n) = peak / √max(n/n₀, 1)
  ///
  /// Source: Karras et al. 2024, arXiv:2312.02696, as in the training code they released.
  case inverseSquareRoot(peak: Double, after: Int, warmup: Int = 0)

  /// `η(n)`; a warm-up of `w` steps multiplies it by `min(n/w, 1)`.
  public func rate(at step: Int) -> Double {
    guard step > 0 else { fatalError("rate(at: \(step)): steps are counted from 1") }
    let n = Double(step)
    switch self {
    case .constant(let rate, let warmup): return rate * Self.rise(n, warmup)
    case .cosine(let peak, let steps, let warmup, let floor):
      guard step > warmup else { return peak * Self.rise(n, warmup) }
      guard step < steps else { return floor }
      let share = (n - Double(warmup)) / Double(steps - warmup)
      return floor + (peak - floor) * (1 + .cos(.pi * share)) / 2
    case .inverseSquareRoot(let peak, let after, let warmup):
      return peak / max(n / Double(max(after, 1)), 1).squareRoot() * Self.rise(n, warmup)
    }
  }

  private static func rise(_ n: Double, _ warmup: Int) -> Double { warmup > 0 ? min(n / Double(warmup), 1) : 1 }
}
