import RealModule

/// A variance-preserving schedule given by the variances of its steps; its time is the index of a step, from 0.
///
///     α(n)² = ∏_{i ≤ n} (1 − βᵢ),   σ² = 1 − α²
///
/// Between steps `log α` is linear in time, so rates are constant there; at a step they are those of what follows.
///
/// Source: Ho, Jain & Abbeel 2020, arXiv:2006.11239, eq. 4; Lu et al. 2022, arXiv:2206.00927, appendix D, for the
/// interpolation.
public struct DiscreteSchedule: NoiseSchedule {
  /// `log α` after each step.
  private var logAlphas: [Double]
  public var timeRange: ClosedRange<Double> { 0...Double(logAlphas.count - 1) }

  /// The schedule with the given variances `βᵢ`, two or more, between 0 and 1.
  public init(variances: [Double]) {
    guard variances.count >= 2, variances.allSatisfy({ 0 < $0 && $0 < 1 }) else {
      fatalError("DiscreteSchedule(variances: \(variances.count) numbers): needs at least 2, between 0 and 1")
    }
    var sum = 0.0
    logAlphas = variances.map { variance in
      sum += 0.5 * .log(onePlus: -variance)
      return sum
    }
  }

  /// The same with another level at its last step, which may have more signal than the one before it.
  ///
  /// A level that comes twice then has two times, of which ``time(atHalfLogSNR:)`` finds the first.
  package func ending(atAlpha alpha: Double) -> Self {
    var copy = self
    copy.logAlphas[logAlphas.count - 1] = .log(alpha)
    return copy
  }

  public func alpha<S: Elementary>(_ t: S) -> S { .exp(logAlpha(t)) }
  // Not √(1 − α²), which cancels as α → 1.
  public func sigma<S: Elementary>(_ t: S) -> S { .sqrt(-S.expMinusOne(2 * logAlpha(t))) }

  private func logAlpha<S: Elementary>(_ t: S) -> S {
    let index = Swift.min(Int(t.magnitude), logAlphas.count - 2)
    let (here, next) = (logAlphas[index], logAlphas[index + 1])
    return S(here) + (t - S(Double(index))) * S(next - here)
  }

  public func time(atHalfLogSNR halfLogSNR: Double) -> Double {
    let target = -0.5 * softplus(-2 * halfLogSNR)
    // The last step that is not below the target, by bisection.
    var (low, high) = (0, logAlphas.count - 1)
    while high - low > 1 {
      let middle = (low + high) / 2
      if logAlphas[middle] >= target { low = middle } else { high = middle }
    }
    let fraction = (target - logAlphas[low]) / (logAlphas[high] - logAlphas[low])
    return inRange(Double(low) + fraction, at: halfLogSNR)
  }
}

extension DiscreteSchedule {
  /// Variances that grow linearly.
  ///
  /// Source: Ho, Jain & Abbeel 2020, arXiv:2006.11239, section 4.
  public static func linear(from first: Double = 1e-4, to last: Double = 0.02, steps: Int = 1000) -> Self {
    Self(variances: evenly(from: first, to: last, steps))
  }

  /// Variances whose square roots grow linearly.
  ///
  /// Source: Rombach et al. 2022, arXiv:2112.10752, in the released configuration of Stable Diffusion 1.
  public static func scaledLinear(from first: Double = 0.00085, to last: Double = 0.012, steps: Int = 1000) -> Self {
    Self(variances: evenly(from: first.squareRoot(), to: last.squareRoot(), steps).map { $0 * $0 })
  }

  /// Variances by which `α` follows a cosine.
  ///
  ///     α(n)² ∝ cos²((π/2) ((n + 1)/N + s)/(1 + s)),   βₙ ≤ limit
  ///
  /// Source: Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17.
  public static func cosine(offset: Double = 0.008, limit: Double = 0.999, steps: Int = 1000) -> Self {
    func angle(_ n: Int) -> Double { (Double(n) / Double(steps) + offset) / (1 + offset) * (.pi / 2) }
    return Self(
      variances: (0..<steps).map { n in
        // Not 1 − cos² b/cos² a, which cancels where the angles are close.
        let (a, b) = (angle(n), angle(n + 1))
        return Swift.min(.sin(b - a) * .sin(a + b) / (.cos(a) * .cos(a)), limit)
      })
  }

  private static func evenly(from first: Double, to last: Double, _ count: Int) -> [Double] {
    (0..<count).map { first + (last - first) * (Double($0) / Double(count - 1)) }
  }
}

extension NoiseSchedule where Self == DiscreteSchedule {
  /// The schedule of DDPM.
  public static var linearDDPM: Self { .linear() }
  /// The cosine schedule of improved DDPM.
  public static var cosineDDPM: Self { .cosine() }
  /// The schedule of Stable Diffusion.
  public static var stableDiffusion: Self { .scaledLinear() }
}
