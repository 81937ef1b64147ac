import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct DequantizationTests {
  @Test("grey levels fill [−1, 1], and come back")
  func scaling() {
    let levels = Tensor([0, 1, 128, 255])
    #expect(largestError(GreyLevels(256).scaled(levels), [-1, -253.0 / 255, 1.0 / 255, 1]) < 1e-15)
    #expect(GreyLevels(256).quantized(GreyLevels(256).scaled(levels)).integers == [0, 1, 128, 255])
    #expect(GreyLevels(256).quantized(Tensor([-1.2, 0.0041, 7])).integers == [0, 128, 255])
    #expect(GreyLevels(17).scaled(Tensor([0, 8, 16])).doubles == [-1, 0, 1])
  }

  @Test("Spec: F4 bits per dimension have a scaling term for grey levels, and none for real numbers")
  func bits() {
    // log₂ 127.5, and −(−3 log 2)/(2 log 2) = 3/2.
    let logLikelihood = Tensor([-3 * log(2.0)])
    #expect(abs(bitsPerDim(logLikelihood, dimension: 2).item - 1.5) < 1e-15)
    #expect(abs(bitsPerDim(logLikelihood, dimension: 2, levels: GreyLevels(256)).item - 8.494353436858858) < 1e-14)
    #expect(abs(bitsPerDim(logLikelihood, dimension: 2, levels: GreyLevels(17)).item - 4.5) < 1e-15)
  }

  @Test("Spec: F4 codes of uniform grey levels are as long as their number of bits")
  func uniform() {
    // The density 1/(2 + 2w) on all bins: each level has probability 1/L, log₂ L bits.
    let logDensity = -log(2 + 2.0 / 255)
    #expect(abs(bitsPerDim(Tensor([logDensity]), dimension: 1, levels: GreyLevels(256)).item - 8) < 1e-13)
  }

  /// Independent normal coordinates of scaled data: mean 0.1, standard deviation 0.6.
  static let (mean, deviation) = (0.1, 0.6)

  /// `log N(x; 0.1, 0.6² + extra)`.
  static func logNormal(_ x: Double, _ extra: Double = 0) -> Double {
    let variance = deviation * deviation + extra
    return -0.5 * (x - mean) * (x - mean) / variance - 0.5 * log(2 * .pi * variance)
  }

  static func field(_ dimension: Int, on schedule: any NoiseSchedule) throws -> GaussianMixtureDenoiser {
    GaussianMixtureDenoiser(
      try GaussianMixture(means: .full([1, dimension], mean), standardDeviations: .full([1, dimension], deviation)),
      on: schedule)
  }

  /// Every pair of five levels.
  static let levels = Tensor((0..<25).flatMap { [$0 / 5, $0 % 5] }, shape: [25, 2])

  func found(
    _ dequantization: Dequantization, _ scale: GreyLevels, _ levels: Tensor, from: Double, seed: UInt64 = 0,
    solver: LikelihoodSolver = .rungeKutta(.rk4, steps: 40)
  ) throws -> Likelihood {
    let field = try Self.field(levels.shape[1], on: .variancePreserving)
    var generator = Generator(seed: seed)
    return logLikelihood(
      of: levels, in: scale, dequantized: dequantization, using: &generator, under: field, trace: ExactFisher(field),
      from: from, to: 1, prior: .exact(field), solver: solver)
  }

  /// `∫ f(u) du` over `|u| < w`, by Simpson's rule.
  func integral(_ w: Double, _ f: (Double) -> Double) -> Double {
    let n = 2000
    let h = 2 * w / Double(n)
    var sum = 0.0
    for i in 0...n {
      let weight: Double = i == 0 || i == n ? 1 : i % 2 == 1 ? 4 : 2
      sum += weight * f(-w + Double(i) * h)
    }
    return sum * h / 3
  }

  /// Compares a bound's samples with its expectation per coordinate, and returns the largest deviation in standard errors.
  func deviations(_ found: Likelihood, _ expected: [Double]) throws -> [Double] {
    let errors = try #require(found.standardError).doubles
    return zip(zip(found.logLikelihood.doubles, expected), errors).map { ($0.0 - $0.1) / $1 }
  }

  @Test("Spec: F4 uniform noise gives the mean log-density over the bin, a bound on the level's probability")
  func uniformBound() throws {
    let schedule = VariancePreserving()
    let from = 1e-3
    let kernel = schedule.kernel(at: from)
    let found = try found(.uniform(draws: 400), GreyLevels(5), Self.levels, from: from)
    let w = 0.25
    func marginal(_ x: Double) -> Double {
      // The density of x_from, at the scaled data themselves.
      let s = hypot(kernel.alpha * Self.deviation, kernel.sigma)
      let z = (x - kernel.alpha * Self.mean) / s
      return -0.5 * z * z - log(s * (2 * .pi).squareRoot())
    }
    func pair(_ f: (Double) -> Double) -> [Double] {
      (0..<25).map { f(-1 + 0.5 * Double($0 / 5)) + f(-1 + 0.5 * Double($0 % 5)) }
    }
    let mean = pair { x in integral(w) { marginal(x + $0) } / (2 * w) }
    let probability = pair { x in log(integral(w) { exp(marginal(x + $0)) } / (2 * w)) }
    let off = try deviations(found, mean)
    #expect(off.allSatisfy { abs($0) < 4 }, "\(off)")
    // A bound, and a different one from the probability itself: twice w²/6s² on a flat top.
    #expect(zip(found.logLikelihood.doubles, probability).allSatisfy { $0 < $1 })

    // The standard error is that of the draws.
    let spread = pair { x in
      let m = integral(w) { marginal(x + $0) } / (2 * w)
      return integral(w) { (marginal(x + $0) - m) * (marginal(x + $0) - m) } / (2 * w)
    }.map { ($0 / 400).squareRoot() }
    expectClose(try #require(found.standardError), Tensor(spread), within: 0.2)
    #expect(found.latent.shape == [25, 2] && found.logLikelihood.shape == [25])
    #expect(
      found.bitsPerDim.isIdentical(to: bitsPerDim(found.logLikelihood, dimension: 2, levels: GreyLevels(5))))
  }

  @Test("Spec: F4 with fine levels the bound is nearly the level's probability")
  func fineLevels() throws {
    let levels = Tensor((0..<256).map { $0 }, shape: [256, 1])
    let found = try found(.uniform(draws: 50), GreyLevels(256), levels, from: 1e-5)
    let cumulative = { (x: Double) in 0.5 * erfc(-(x - Self.mean) / (Self.deviation * 2.0.squareRoot())) }
    let bits = (0..<256).map { level in
      let x = 2 * Double(level) / 255 - 1
      return -log2(cumulative(x + 1.0 / 255) - cumulative(x - 1.0 / 255))
    }
    let errors = try #require(found.standardError).doubles.map { 4 * $0 / log(2) + 2e-5 }
    #expect(zip(zip(found.bitsPerDim.doubles, bits), errors).allSatisfy { abs($0.0 - $0.1) < $1 })
    let mean = found.bitsPerDim.mean().item - bits.reduce(0, +) / 256
    #expect(abs(mean) < 3e-4, "\(mean)")
  }

  @Test("Spec: F4 the model's own noise, cut off at the bin, gives its bound too", arguments: [0.1, 0.25, 1.0])
  func truncatedNormalBound(_ ratio: Double) throws {
    let schedule = VariancePreserving()
    let from = schedule.time(atNoiseToSignal: ratio)
    let found = try found(.truncatedNormal(draws: 400), GreyLevels(5), Self.levels, from: from)
    let w = 0.25
    let mass = integral(w) { exp(-0.5 * $0 * $0 / (ratio * ratio)) }
    let logR = { (u: Double) in -0.5 * u * u / (ratio * ratio) - log(mass) }
    let bound = { (x: Double) in
      self.integral(w) { exp(logR($0)) * (Self.logNormal(x + $0, ratio * ratio) - logR($0)) } - log(2 * w)
    }
    let mean = (0..<25).map { bound(-1 + 0.5 * Double($0 / 5)) + bound(-1 + 0.5 * Double($0 % 5)) }
    let off = try deviations(found, mean)
    #expect(off.allSatisfy { abs($0) < 4 }, "\(off)")
  }

  @Test("Spec: F4 for points on the levels themselves the model's own noise gives their probabilities exactly")
  func tight() throws {
    let scale = GreyLevels(5)
    let levels = Tensor([0, 0, 1, 3, 4, 2], shape: [3, 2])
    let field = EmpiricalDenoiser(
      data: scale.scaled(levels), weights: Tensor([0.5, 0.2, 0.3]), on: .variancePreserving)
    var generator = Generator(seed: 3)
    let found = logLikelihood(
      of: levels, in: scale, dequantized: .truncatedNormal(draws: 20), using: &generator, under: field,
      trace: ExactFisher(field), from: VariancePreserving().time(atNoiseToSignal: 0.02), to: 1, prior: .exact(field),
      solver: .dopri5(rtol: 1e-8, atol: 1e-8))
    let exact = [0.5, 0.2, 0.3].map { -log2($0) / 2 }
    #expect(largestError(found.bitsPerDim, exact) < 1e-6)
    #expect(found.standardError!.max().item < 1e-6)
  }

  @Test("without noise the density is that of the levels themselves")
  func none() throws {
    let found = try found(.none, GreyLevels(5), Self.levels, from: 1e-2, solver: .dopri5(rtol: 1e-8, atol: 1e-8))
    let field = try Self.field(2, on: .variancePreserving)
    let exact = field.posterior(GreyLevels(5).scaled(Self.levels), at: 1e-2).logDensity
    #expect(largestError(found.logLikelihood, exact.doubles) < 1e-6)
    #expect(found.standardError == nil)
  }

  @Test("the same seed gives the same bound, another one another")
  func seeds() throws {
    let (a, b) = (try found(.uniform(draws: 2), GreyLevels(5), Self.levels, from: 1e-3, seed: 1), 2 as UInt64)
    let again = try found(.uniform(draws: 2), GreyLevels(5), Self.levels, from: 1e-3, seed: 1)
    let other = try found(.uniform(draws: 2), GreyLevels(5), Self.levels, from: 1e-3, seed: b)
    #expect(a.logLikelihood.isIdentical(to: again.logLikelihood))
    #expect(!a.logLikelihood.isIdentical(to: other.logLikelihood))
  }

  @Test("the spread over draws holds the trace's own: probes widen it as their variance says")
  func probes() throws {
    let field = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: .variancePreserving)
    func errors(_ seeds: [UInt64]) throws -> Double {
      var generator = Generator(seed: 9)
      let found = logLikelihood(
        of: Tensor([128, 120], shape: [1, 2]), in: GreyLevels(256), dequantized: .uniform(draws: 400),
        using: &generator,
        under: field, trace: ProbeTests.Probed(field: field, seeds: seeds), from: 0.02, to: 1, prior: .exact(field),
        solver: .rungeKutta(.rk4, steps: 40))
      return try #require(found.standardError).item
    }
    // Here the bin is narrow, and nearly all of the spread is the probes': four of them halve it.
    let (one, four) = (try errors([1]), try errors([1, 2, 3, 4]))
    #expect(abs(one / four - 2) < 0.3, "\(one) against \(four)")
  }
}
