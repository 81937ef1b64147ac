import Scorefield
import ScorefieldTestSupport
import Testing

/// What is true of every schedule of the house.
@Suite struct NoiseScheduleLaws {
  /// Times all over a range: evenly spaced, and close to both of its ends.
  ///
  /// No whole numbers, at which rates may jump.
  static func times(_ schedule: any NoiseSchedule) -> [Double] {
    let (low, high) = (schedule.timeRange.lowerBound, schedule.timeRange.upperBound)
    let inner = (1...40).map { low + (high - low) * (Double($0) - 0.3127) / 40 }
    let near = [0.00101, 0.0101].flatMap { fraction in [low + (high - low) * fraction, high - (high - low) * fraction] }
    return inner + near
  }

  @Test("Spec: T0.6a rates are the derivatives", arguments: NamedSchedule.all)
  func rates(_ named: NamedSchedule) {
    let schedule = named.schedule
    for t in Self.times(schedule) {
      let kernel = schedule.kernel(at: t)
      // Of the order of time itself near the data, where √t bends.
      let h = 1e-6 * Swift.max(1, t / 10) * Swift.min(1, t / 0.01)
      let (before, after) = (schedule.kernel(at: t - h), schedule.kernel(at: t + h))
      let alphaRate = (after.alpha - before.alpha) / (2 * h)
      let sigmaRate = (after.sigma - before.sigma) / (2 * h)
      // A difference of values near 1 has no more digits than this.
      let floor = 2e-16 / h
      #expect(abs(kernel.alphaRate - alphaRate) <= 1e-5 * abs(alphaRate) + floor, "\(named) at \(t)")
      #expect(abs(kernel.sigmaRate - sigmaRate) <= 1e-5 * abs(sigmaRate) + floor, "\(named) at \(t)")
    }
  }

  @Test("a continued schedule is the same, and its formulas go on; a table has none")
  func continued() throws {
    let base = VariancePreserving()
    #expect(base.kernel(at: 1e-5).noiseToSignal > 1e-3)
    let more = try #require(ContinuedSchedule(base, downToNoiseToSignal: 1e-4))
    #expect(more.timeRange.upperBound == 1 && more.timeRange.lowerBound < 1e-5)
    #expect(more.kernel(at: 0.3) == base.kernel(at: 0.3))
    let time = more.time(atNoiseToSignal: 1e-3)
    #expect(time < 1e-5 && abs(more.kernel(at: time).noiseToSignal / 1e-3 - 1) < 1e-12)
    #expect(try #require(ContinuedSchedule(base, downToNoiseToSignal: 1)).timeRange == base.timeRange)
    #expect(ContinuedSchedule(DiscreteSchedule.linear(), downToNoiseToSignal: 1e-3) == nil)
  }

  @Test("the kernels at many times are those at each", arguments: NamedSchedule.all)
  func many(_ named: NamedSchedule) {
    let times = Self.times(named.schedule)
    #expect(named.schedule.kernels(at: times) == times.map { named.schedule.kernel(at: $0) })
  }

  @Test("Spec: T0.6b the SDE has the kernel's variance", arguments: NamedSchedule.all)
  func moments(_ named: NamedSchedule) {
    for t in Self.times(named.schedule) {
      let kernel = named.schedule.kernel(at: t)
      let residual =
        2 * kernel.sigma * kernel.sigmaRate
        - (2 * kernel.drift * kernel.sigma * kernel.sigma + kernel.diffusionSquared)
      #expect(abs(residual) <= 1e-9 * Swift.max(1, kernel.diffusionSquared), "\(named) at \(t)")
      #expect(kernel.diffusionSquared > 0 && kernel.diffusion * kernel.diffusion - kernel.diffusionSquared < 1e-9)
      #expect(abs(kernel.alpha * kernel.drift - kernel.alphaRate) <= 1e-14 * abs(kernel.alphaRate), "\(named) at \(t)")
    }
  }

  @Test("Spec: T0.6c g² is −2σ² dλ/dt", arguments: NamedSchedule.all)
  func noise(_ named: NamedSchedule) {
    let schedule = named.schedule
    for t in Self.times(schedule) {
      let kernel = schedule.kernel(at: t)
      let h = 1e-6 * Swift.max(1, t / 10) * Swift.min(1, Swift.min(t, abs(1 - t)) / 0.01)
      let slope = (schedule.kernel(at: t + h).halfLogSNR - schedule.kernel(at: t - h).halfLogSNR) / (2 * h)
      let expected = -2 * kernel.sigma * kernel.sigma * slope
      #expect(abs(kernel.diffusionSquared - expected) <= 1e-4 * expected, "\(named) at \(t)")
    }
  }

  @Test("Spec: T0.6d the time of a half log-SNR is its inverse, and always in the range", arguments: NamedSchedule.all)
  func inverse(_ named: NamedSchedule) {
    let schedule = named.schedule
    let range = schedule.timeRange
    for t in Self.times(schedule) + [range.lowerBound, range.upperBound] {
      let halfLogSNR = schedule.kernel(at: t).halfLogSNR
      let found = schedule.time(atHalfLogSNR: halfLogSNR)
      #expect(range.contains(found))
      #expect(abs(found - t) <= 1e-10 * Swift.min(1, t) || t == 0 && found < 1e-10, "\(named) at \(t): \(found)")
      #expect(abs(schedule.kernel(at: found).halfLogSNR - halfLogSNR) <= 1e-10, "\(named) at \(t)")
      #expect(abs(schedule.time(atNoiseToSignal: schedule.kernel(at: t).noiseToSignal) - found) <= 1e-9 * found + 1e-10)
      // A rounding beyond an end is its end.
      for nudge in [-1e-10, 1e-10] where t == range.lowerBound || t == range.upperBound {
        #expect(range.contains(schedule.time(atHalfLogSNR: halfLogSNR + nudge)), "\(named) at \(t)")
      }
    }
  }

  @Test("bisection finds what the closed forms find", arguments: NamedSchedule.all)
  func bisection(_ named: NamedSchedule) {
    let plain = Bisected(named.schedule)
    for t in Self.times(named.schedule) {
      let halfLogSNR = named.schedule.kernel(at: t).halfLogSNR
      let difference = plain.time(atHalfLogSNR: halfLogSNR) - named.schedule.time(atHalfLogSNR: halfLogSNR)
      #expect(abs(difference) < 1e-10 * Swift.max(1, t))
    }
  }

  @Test("Spec: T0.6e the signal-to-noise ratio falls", arguments: NamedSchedule.all)
  func monotone(_ named: NamedSchedule) {
    let range = named.schedule.timeRange
    let times = Self.times(named.schedule).sorted()
    let values = ([range.lowerBound] + times + [range.upperBound]).map { named.schedule.kernel(at: $0) }
    for (a, b) in zip(values, values.dropFirst()) {
      #expect(a.halfLogSNR > b.halfLogSNR && a.signalToNoise > b.signalToNoise && a.noiseToSignal < b.noiseToSignal)
    }
    #expect(values.allSatisfy { $0.alpha > 0 && $0.sigma > 0 && $0.alpha <= 1 })
  }

  @Test(
    "Spec: B4.4 α² + σ² = 1 where the variance is preserved",
    arguments: ["vp", "trig", "scaled-linear", "ddpm-linear", "ddpm-cosine"])
  func preserved(_ name: String) {
    let schedule = NamedSchedule.named(name)
    for t in Self.times(schedule) {
      let kernel = schedule.kernel(at: t)
      #expect(abs(kernel.alpha * kernel.alpha + kernel.sigma * kernel.sigma - 1) <= 1e-14)
    }
  }

  @Test("Spec: B4.5 sub-VP has less noise than VP")
  func less() {
    for t in Self.times(.variancePreserving) {
      let (sub, full) = (NamedSchedule.named("subvp").kernel(at: t), NamedSchedule.named("vp").kernel(at: t))
      #expect(sub.sigma < full.sigma && sub.alpha == full.alpha && abs(sub.sigma - full.sigma * full.sigma) < 1e-15)
    }
  }
}

/// A schedule that does not know its inverse.
private struct Bisected: NoiseSchedule {
  let base: any NoiseSchedule
  init(_ base: any NoiseSchedule) { self.base = base }
  var timeRange: ClosedRange<Double> { base.timeRange }
  func alpha<S: Elementary>(_ t: S) -> S { base.alpha(t) }
  func sigma<S: Elementary>(_ t: S) -> S { base.sigma(t) }
}
