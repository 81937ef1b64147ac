import RealModule

/// How data become noise: `x_t = α(t) x₀ + σ(t) ε`, with time running from the data to the noise.
///
/// A conformer writes α and σ once, over ``Elementary``; their rates, and everything that follows from them, are
/// computed. `log(α/σ)` must fall strictly over the range.
public protocol NoiseSchedule: Sendable {
  /// The times the schedule is used at; σ > 0 and α > 0 in all of it.
  var timeRange: ClosedRange<Double> { get }
  func alpha<S: Elementary>(_ t: S) -> S
  func sigma<S: Elementary>(_ t: S) -> S
  /// The time at which `log(α/σ)` has the given value, which must be one of the range.
  func time(atHalfLogSNR halfLogSNR: Double) -> Double
  /// The perturbation kernel at each of many times.
  ///
  /// A requirement, so that a schedule of unknown type is looked up once and not at every time.
  func kernels(at times: [Double]) -> [PerturbationKernel]
}

extension NoiseSchedule {
  /// The perturbation kernel at a time, with its rates of change.
  public func kernel(at t: Double) -> PerturbationKernel {
    guard timeRange.contains(t) else { fatalError("kernel(at: \(t)): outside \(Self.self)'s range \(timeRange)") }
    let now = Dual(t, derivative: 1)
    let (a, s) = (alpha(now), sigma(now))
    return PerturbationKernel(
      time: t, alpha: a.value, sigma: s.value, alphaRate: a.derivative, sigmaRate: s.derivative)
  }

  public func kernels(at times: [Double]) -> [PerturbationKernel] { times.map { kernel(at: $0) } }

  /// By bisection, to the last bit of the time.
  public func time(atHalfLogSNR halfLogSNR: Double) -> Double {
    func excess(_ t: Double) -> Double { .log(alpha(t) / sigma(t)) - halfLogSNR }
    var (low, high) = (inRange(timeRange.lowerBound, at: halfLogSNR), timeRange.upperBound)
    while true {
      // The geometric middle: ranges span many powers of ten near the data.
      let middle = low > 0 && high / low > 2 ? (low * high).squareRoot() : low + (high - low) / 2
      guard low < middle, middle < high else { return excess(low) <= -excess(high) ? low : high }
      if excess(middle) > 0 { low = middle } else { high = middle }
    }
  }

  /// A schedule's own solution of `log(α/σ) = λ`, moved to the range's end where it misses that by a rounding.
  ///
  /// Stops where λ is none of the range's.
  func inRange(_ time: Double, at halfLogSNR: Double) -> Double {
    func excess(_ t: Double) -> Double { .log(alpha(t) / sigma(t)) - halfLogSNR }
    guard excess(timeRange.lowerBound) >= -1e-9, excess(timeRange.upperBound) <= 1e-9 else {
      fatalError("time(atHalfLogSNR: \(halfLogSNR)): outside what \(Self.self) reaches on \(timeRange)")
    }
    return Swift.min(Swift.max(time, timeRange.lowerBound), timeRange.upperBound)
  }

  /// The time at which `σ/α` has the given value.
  public func time(atNoiseToSignal ratio: Double) -> Double { time(atHalfLogSNR: -.log(ratio)) }
}

/// `log(1 + eˣ)`; at `x = −2λ` it is `−log α²` of every variance-preserving schedule.
func softplus(_ x: Double) -> Double { Swift.max(x, 0) + .log(onePlus: .exp(-x.magnitude)) }
