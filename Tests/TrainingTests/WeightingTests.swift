import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// Weights of the noise levels.
@Suite struct WeightingTests {
  /// Kernels all over a schedule's range.
  static func kernels(_ schedule: any NoiseSchedule) -> [PerturbationKernel] {
    let range = schedule.timeRange
    return [0.003, 0.05, 0.31, 0.5, 0.77, 0.99].map {
      schedule.kernel(at: range.lowerBound + $0 * (range.upperBound - range.lowerBound))
    }
  }

  @Test(
    "Spec: B6.5 g² of the score and −d(α²/σ²)/dt of the data are one weight: g² α²/σ⁴ = −SNR′",
    arguments: NamedSchedule.all)
  func equivalence(_ named: NamedSchedule) throws {
    for kernel in Self.kernels(named.schedule) {
      let (alpha, sigma) = (kernel.alpha, kernel.sigma)
      let bound = Weighting.variationalBound(at: kernel)
      let likelihood = Weighting.likelihood(at: kernel) * alpha * alpha / (sigma * sigma * sigma * sigma)
      #expect(abs(likelihood / bound - 1) <= 1e-10, "\(named) at \(kernel.time)")
      let share = try #require(Head.data.lossWeight(matching: .score, at: kernel))
      #expect(abs(Weighting.likelihood(at: kernel) * share / bound - 1) <= 1e-10)
      // The rate itself, by a difference inside one step of the discrete schedules.
      let h = 1e-5 * min(kernel.time, 1)
      func ratio(_ t: Double) -> Double { named.schedule.kernel(at: t).signalToNoise }
      let slope = (ratio(kernel.time) - ratio(kernel.time + h)) / h
      #expect(abs(slope / bound - 1) < 1e-3, "\(named) at \(kernel.time): \(slope) for \(bound)")
    }
  }

  @Test("Spec: B6.5 the weights are their formulas", arguments: NamedSchedule.all)
  func formulas(_ named: NamedSchedule) {
    for kernel in Self.kernels(named.schedule) {
      let (alpha, sigma) = (kernel.alpha, kernel.sigma)
      let ratio = alpha * alpha / (sigma * sigma)
      func expect(_ weighting: Weighting, _ value: Double, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(abs(weighting(at: kernel) / value - 1) < 1e-12, sourceLocation: sourceLocation)
      }
      expect(.constant, 1)
      expect(.variance, sigma * sigma)
      expect(.signalToNoise, ratio)
      expect(.truncatedSignalToNoise(), min(ratio, 5))
      expect(.truncatedSignalToNoise(0.3), min(ratio, 0.3))
      // Of the log-SNR: 1/(1 + e^{−b} SNR).
      expect(.sigmoid(), 1 / (1 + exp(-2) * ratio))
      expect(.sigmoid(bias: -1), 1 / (1 + exp(1) * ratio))
      let out = sigma * 0.7 / (alpha * alpha * 0.49 + sigma * sigma).squareRoot()
      expect(.edm(sigmaData: 0.7), 1 / (out * out))
      expect(.likelihood, 2 * sigma * kernel.sigmaRate - 2 * kernel.alphaRate / alpha * sigma * sigma)
    }
  }

  @Test("Spec: B6.5 the sigmoid falls with the signal from 1 to 0, and is ½ at its bias")
  func sigmoid() {
    let schedule = EDMSchedule()
    let weights = (0..<50).map { Weighting.sigmoid()(at: schedule.kernel(at: 0.001 * pow(1.25, Double($0)))) }
    #expect(zip(weights, weights.dropFirst()).allSatisfy { $0 < $1 } && weights[0] < 1e-4 && weights.last! > 0.99)
    // log(α²/σ²) = 2.
    #expect(abs(Weighting.sigmoid()(at: schedule.kernel(at: exp(-1))) - 0.5) < 1e-14)
  }

  @Test("Spec: B6.5 the bound of a chain tends to that of continuous time, and sums to what the ends differ by")
  func chain() {
    let schedule = VariancePreserving()
    let kernel = schedule.kernel(at: 0.4)
    for step in [1e-3, 1e-4] {
      let ratio = Weighting.variationalBound(of: schedule, step: step)(at: kernel) / step
      #expect(abs(ratio / Weighting.variationalBound(at: kernel) - 1) < 10 * step)
    }
    let discrete = DiscreteSchedule.linear()
    let weighting = Weighting.variationalBound(of: discrete)
    let sum = (0..<1000).reduce(0) { $0 + weighting(at: discrete.kernel(at: Double($1))) }
    let ends = discrete.kernel(at: 0).signalToNoise - discrete.kernel(at: 999).signalToNoise
    #expect(abs(sum / ends - 1) < 1e-12)
    #expect(weighting(at: discrete.kernel(at: 0)) == 0)
  }

  @Test("a weight per density is the weight divided by the density")
  func density() {
    let times = LogUniformNoise(on: .edm, ratios: 0.1...10)
    let kernel = EDMSchedule().kernel(at: 2)
    let found = Weighting.variance.perDensity(of: times)(at: kernel)
    #expect(abs(found - 4 * 2 * log(100)) < 1e-12)
  }

  // MARK: The bound on the likelihood

  /// Of the first fixture on VP, with the score `(1 + δ) ∇log p_t`: the model's mean and variance and the bound, by RK4.
  static func model(_ delta: Double) -> (mean: Double, variance: Double, bound: Double) {
    let schedule = VariancePreserving()
    // The mean, the variance, and the bound so far.
    typealias State = SIMD3<Double>
    func rate(_ state: State, _ t: Double) -> State {
      let kernel = schedule.kernel(at: t)
      let (f, g) = (kernel.drift, Weighting.likelihood(at: kernel))
      let variance = 1.69 * kernel.alpha * kernel.alpha + kernel.sigma * kernel.sigma
      let pull = g * (1 + delta) / variance
      return State(
        f * state.x + pull * (state.x - 0.7 * kernel.alpha), 2 * (f + pull) * state.y - g,
        // E|δ ∇log p_t|² = δ²/variance.
        -0.5 * g * delta * delta / variance)
    }
    let (start, end, steps) = (1.0, 1e-5, 40_000)
    // The prior, N(0, 1).
    var state = State(0, 1, 0)
    let h = (end - start) / Double(steps)
    for step in 0..<steps {
      let t = start + h * Double(step)
      let last = max(t + h, end)
      let a = rate(state, t)
      let b = rate(state + a * (h / 2), t + h / 2)
      let c = rate(state + b * (h / 2), t + h / 2)
      let d = rate(state + c * h, last)
      let sum: State = a + d + 2 * (b + c)
      state += sum * (h / 6)
    }
    // The schedule ends just before the data.
    state -= rate(state, end) * end
    return (state.x, state.y, state.z)
  }

  /// `KL(N(m, v) ‖ N(m₂, v₂))`.
  static func divergence(_ mean: Double, _ variance: Double, from m: Double, _ v: Double) -> Double {
    0.5 * (variance / v + (mean - m) * (mean - m) / v - 1 + log(v / variance))
  }

  @Test(
    "Spec: B6.5 a score that is wrong by a factor makes a model no farther from the data than g² says",
    arguments: [
      (0.1, 0.699980292, 1.408336392, 0.008839005, 0.047637087),
      (-0.2, 0.699656703, 2.812953509, 0.055149264, 0.190516606),
    ])
  func bound(_ delta: Double, _ mean: Double, _ variance: Double, _ divergence: Double, _ bound: Double) {
    let found = Self.model(delta)
    #expect(abs(found.mean - mean) <= 1e-6 && abs(found.variance - variance) <= 1e-6, "\(found)")
    let last = VariancePreserving().kernel(at: 1)
    let prior = Self.divergence(
      0.7 * last.alpha, 1.69 * last.alpha * last.alpha + last.sigma * last.sigma, from: 0, 1)
    #expect(abs(prior - 1.05807e-5) <= 1e-10)
    let (distance, limit) = (
      Self.divergence(0.7, 1.69, from: found.mean, found.variance), found.bound + prior
    )
    #expect(abs(distance - divergence) <= 1e-6 && abs(limit - bound) <= 1e-6, "\(distance) \(limit)")
    #expect(distance <= limit)
  }
}
