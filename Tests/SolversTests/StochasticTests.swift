import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// Stochastic methods on Gaussian data, where mean and variance follow exactly from one run.
@Suite struct StochasticTests {
  static let vp = LineFlow.gauss(on: .variancePreserving)

  /// Mean and variance of `N(0.7, 1.69)` at a time.
  static func exact(_ schedule: any NoiseSchedule, _ t: Double) -> (mean: Double, variance: Double) {
    let (a, s) = (schedule.alpha(t), schedule.sigma(t))
    return (0.7 * a, 1.69 * a * a + s * s)
  }

  /// The moments at the end of a run from the exact ones at its start.
  static func moments(
    _ run: AffineRun, _ schedule: any NoiseSchedule, from t: Double
  ) -> (mean: Double, variance: Double) {
    let start = exact(schedule, t)
    return (run.mean(start.mean), run.variance(start.variance))
  }

  @Test(
    "Spec: B2.11 DDPM's chain of a thousand steps has the printed mean and variance",
    arguments: [(AncestralSampler.Variance.small, 1.677153878535), (.large, 1.688256086417)])
  func chain(_ variance: AncestralSampler.Variance, _ expected: Double) throws {
    let model = try LineFlow.gauss(on: .linearDDPM).denoiser()
    let run = AffineRun(draws: 999) { start, noise in
      let grid = TimeGrid((0...999).map { Double(999 - $0) })
      let end = integrate(start, along: grid, with: AncestralSampler(variance, noise: noise), in: model)
      return model.denoise(end, at: 0)
    }
    #expect(abs(run.mean(0) - 0.699952257463) < 1e-9)
    #expect(abs(run.variance(1) - expected) < 1e-9)
  }

  @Test("Spec: B4.18 on DDPM's grid the step is DDPM's, in either of its forms")
  func posterior() throws {
    let schedule = DiscreteSchedule.linear()
    let model = try LineFlow.mixture(on: schedule).denoiser()
    let x = Tensor(rows: [[0.3], [-1.7], [2.2]])
    for n in [1.0, 17, 500, 999] {
      // Theirs: α_i of one step, ᾱ_i of all.
      let (alpha, total) = (schedule.alpha(n) / schedule.alpha(n - 1), schedule.alpha(n))
      let noise = model.noise(x, at: n)
      let mean = (x - ((1 - alpha * alpha) / (1 - total * total).squareRoot()) * noise) / alpha
      let before = schedule.alpha(n - 1)
      let deviation = ((1 - before * before) / (1 - total * total) * (1 - alpha * alpha)).squareRoot()
      let draw = Tensor(rows: [[1], [-0.5], [0.2]])
      for (variance, deviation) in [
        (AncestralSampler.Variance.small, deviation), (.large, (1 - alpha * alpha).squareRoot()),
      ] {
        let sampler = AncestralSampler(variance, noise: .given([draw]))
        var memory = sampler.makeMemory()
        let next = sampler.step(x, from: n, to: n - 1, in: model, memory: &memory)
        expectClose(next, mean + deviation * draw, within: 1e-11)
      }
    }
  }

  @Test(
    "Spec: B4.18 on every schedule ancestral steps converge to the data, and agree with Euler–Maruyama's in the limit",
    arguments: ["vp", "edm", "flow"])
  func ancestralLimit(_ name: String) throws {
    let schedule = NamedSchedule.named(name)
    let model = try LineFlow.gauss(on: schedule).denoiser()
    let (from, to) = (schedule.time(atNoiseToSignal: 20), schedule.time(atNoiseToSignal: 0.01))
    let exact = Self.exact(schedule, to)
    func errors<S: Solver>(_ solver: (NoiseSource) -> S) -> [(steps: Int, error: Double)]
    where S.Field == any Denoiser {
      [100, 200, 400].map { n in
        let grid = TimeGrid.uniformHalfLogSNR(n, over: schedule, from: from, to: to)
        let end = Self.moments(.along(grid, in: model, solver), schedule, from: from)
        return (n, max(abs(end.mean - exact.mean), abs(end.variance - exact.variance)))
      }
    }
    for found in [
      errors { AncestralSampler(noise: $0) }, errors { EulerMaruyama(noise: $0) },
      errors { ReverseDiffusion(noise: $0) },
    ] {
      #expect(abs(observedOrder(found) - 1) < 0.2, "\(found)")
      #expect(found[2].error < 0.1, "\(found)")
    }
  }

  @Test(
    "Spec: B4.12 B4.7 Euler–Maruyama's steps carry mean and variance as printed",
    arguments: [(100, 0.704260771804, 1.711569303226), (1000, 0.700394751917, 1.692077681260)])
  func eulerMaruyama(_ steps: Int, _ mean: Double, _ variance: Double) throws {
    let grid = TimeGrid.uniform(steps, over: Self.vp.schedule, from: 1, to: 1e-3)
    let run = AffineRun.along(grid, in: try Self.vp.denoiser()) { EulerMaruyama(noise: $0) }
    let end = Self.moments(run, Self.vp.schedule, from: 1)
    #expect(abs(end.mean - mean) < 1e-9)
    #expect(abs(end.variance - variance) < 1e-9)
  }

  @Test("Spec: B4.13 B6.12 without noise Euler–Maruyama's step is Euler's step of the flow, draws none and splits off")
  func withoutNoise() throws {
    let model = try LineFlow.mixture(on: .variancePreserving).denoiser()
    let x = Tensor(rows: [[0.3], [-1.7], [2.2]])
    let (flow, sde) = (EulerMaruyama(share: 0, noise: .given([])), EulerMaruyama(noise: .given([.zeros(like: x)])))
    var (plain, memory) = (flow.makeMemory(), sde.makeMemory())
    let next = flow.step(x, from: 0.6, to: 0.5, in: model, memory: &plain)
    expectClose(next, x - 0.1 * ProbabilityFlow(model).velocity(x, at: 0.6), within: 1e-14)
    #expect(plain.count == 0)
    // The reverse SDE's drift is the flow's and half a step of Langevin's: −h(f − g²s) = −hv + ½hg²s.
    let g = model.schedule.kernel(at: 0.6).diffusion
    let drifted = sde.step(x, from: 0.6, to: 0.5, in: model, memory: &memory)
    expectClose(drifted, next + (0.05 * g * g) * model.score(x, at: 0.6), within: 1e-13)
  }

  @Test("Spec: B6.12 every γ has the same densities", arguments: ["vp", "flow", "edm"], [0, 0.5, 1, 2])
  func densities(_ name: String, _ share: Double) throws {
    let schedule = NamedSchedule.named(name)
    let model = try LineFlow.gauss(on: schedule).denoiser()
    let (from, to) = (schedule.time(atNoiseToSignal: 5), schedule.time(atNoiseToSignal: 0.2))
    // The moments' own equations, m' = a m + b and V' = 2 a V − γ², from the coefficients of single steps, by RK4.
    func rates(_ m: Double, _ v: Double, _ t: Double) -> (Double, Double) {
      let h = 0.5 * t
      let run = AffineRun.step(from: t, to: t - h, in: model) { EulerMaruyama(share: share, noise: $0) }
      let a = (run.slope - 1) / -h
      return (a * m + run.offset / -h, 2 * a * v - run.noise[0] * run.noise[0] / h)
    }
    var (m, v) = Self.exact(schedule, from)
    let n = 400
    let grid = TimeGrid.uniformHalfLogSNR(n, over: schedule, from: from, to: to)
    for (t, s) in zip(grid.times, grid.times.dropFirst()) {
      let h = s - t
      let a = rates(m, v, t)
      let b = rates(m + h / 2 * a.0, v + h / 2 * a.1, t + h / 2)
      let c = rates(m + h / 2 * b.0, v + h / 2 * b.1, t + h / 2)
      let d = rates(m + h * c.0, v + h * c.1, s)
      m += h / 6 * (a.0 + 2 * b.0 + 2 * c.0 + d.0)
      v += h / 6 * (a.1 + 2 * b.1 + 2 * c.1 + d.1)
    }
    let exact = Self.exact(schedule, to)
    #expect(abs(m - exact.mean) < 1e-8 && abs(v - exact.variance) < 1e-8, "\(m - exact.mean), \(v - exact.variance)")
  }

  @Test(
    "Spec: B4.18 B4.12 B6.12 C9.2c mean and variance have the order that is claimed and the data's as their limit",
    arguments: StochasticClaim.all, ["vp", "edm", "flow"])
  func weakOrder(_ claim: StochasticClaim, _ name: String) throws {
    let schedule = NamedSchedule.named(name)
    let steps = [20, 40, 80, 160, 320]
    let errors = ConvergenceTests.Errors(of: try steps.map { try claim.error($0, on: schedule) }, claim.order, steps)
    let order = ConvergenceTests.order(errors.leading)
    #expect(abs(order - Double(claim.order)) < 0.2, "observed \(order), \(errors)")
    #expect(errors.limit < 1e-5, "the limit is \(errors.limit) off")
    // It costs what it says, but for a last step.
    let counted = CountedDenoiser(try LineFlow.gauss(on: schedule).denoiser())
    let grid = TimeGrid.uniform(
      6, over: schedule, from: schedule.time(atNoiseToSignal: 5), to: schedule.time(atNoiseToSignal: 1))
    _ = claim.run(Tensor(rows: [[1]]), grid, counted, .seed(1))
    #expect(counted.counter.count == 6 * claim.evaluations)
  }

  @Test("Spec: CA.2 Euler–Maruyama is of weak order 1 and, the noise being additive, of strong order 1")
  func orders() throws {
    let schedule = Self.vp.schedule
    let model = try Self.vp.denoiser()
    let exact = Self.exact(schedule, 0.1)
    let weak = [80, 160, 320].map { n in
      let grid = TimeGrid.uniform(n, over: schedule, from: 0.9, to: 0.1)
      let end = Self.moments(.along(grid, in: model) { EulerMaruyama(noise: $0) }, schedule, from: 0.9)
      return (steps: n, error: abs(end.variance - exact.variance))
    }
    #expect(abs(observedOrder(weak) - 1) < 0.1, "\(weak)")

    // Coarser paths follow the same Brownian motion: the sum of its increments.
    let (finest, rows) = (2048, 200)
    var generator = Generator(seed: 5)
    let increments = (0..<finest).map { _ in Tensor.normal([rows, 1], using: &generator) }
    let start = Tensor.normal([rows, 1], using: &generator)
    func end(_ n: Int) -> Tensor {
      let length = finest / n
      let noise = (0..<n).map { i in
        increments[i * length..<(i + 1) * length].reduce(Tensor.zeros([rows, 1]), +) / Double(length).squareRoot()
      }
      let grid = TimeGrid.uniform(n, over: schedule, from: 0.9, to: 0.1)
      return integrate(start, along: grid, with: EulerMaruyama(noise: .given(noise)), in: model)
    }
    let reference = end(finest)
    let strong = [32, 64, 128].map { n in (steps: n, error: (end(n) - reference).abs().mean().item) }
    #expect(abs(observedOrder(strong) - 1) < 0.15, "\(strong)")
  }

  @Test("reverse diffusion is, on their chains, what Score-SDE prints")
  func reverseDiffusion() throws {
    let x = Tensor(rows: [[0.3], [-1.7], [2.2]])
    let draw = Tensor(rows: [[1], [-0.5], [0.2]])
    func step(_ schedule: any NoiseSchedule, _ t: Double, _ s: Double) throws -> (next: Tensor, score: Tensor) {
      let model = try LineFlow.mixture(on: schedule).denoiser()
      let sampler = ReverseDiffusion(noise: .given([draw]))
      var memory = sampler.makeMemory()
      return (sampler.step(x, from: t, to: s, in: model, memory: &memory), model.score(x, at: t))
    }
    // VP: (2 − √(1 − β)) x + β s + √β z.
    let linear = DiscreteSchedule.linear()
    let beta = 1 - pow(linear.alpha(400) / linear.alpha(399), 2)
    let chain = try step(linear, 400, 399)
    expectClose(
      chain.next, (2 - (1 - beta).squareRoot()) * x + beta * chain.score + beta.squareRoot() * draw, within: 1e-12)
    // VE: x + (σ_t² − σ_s²) s + √(σ_t² − σ_s²) z.
    let levels = try step(.edm, 3, 2)
    expectClose(levels.next, x + 5 * levels.score + 5.0.squareRoot() * draw, within: 1e-13)
  }

  @Test(
    "Spec: C9.2c a step of the DDIM family keeps mean and variance given the data, whatever c", arguments: [0.4, 0.1])
  func consistency(_ s: Double) {
    let schedule = VariancePreserving()
    let model = EmpiricalDenoiser(data: Tensor(rows: [[0.8]]), on: schedule)
    let (now, next) = (schedule.kernel(at: 0.5), schedule.kernel(at: s))
    for share in [0, 0.13, 0.77, 1] {
      let run = AffineRun.step(from: 0.5, to: s, in: model) { noise in
        StochasticDDIM(noise: noise) { _, next in share * next.sigma }
      }
      // a + b α_s = α_t and b² σ_s² + c² = σ_t², in the spec's letters.
      #expect(abs(run.mean(0.8 * now.alpha) - 0.8 * next.alpha) < 1e-14)
      #expect(abs(run.variance(now.sigma * now.sigma) - next.sigma * next.sigma) < 1e-14)
      #expect(abs(abs(run.noise[0]) - share * next.sigma) < 1e-15)
    }
  }

  @Test("Spec: C9.2c η = 1 is Bayes' posterior and the ancestral step, η < 1 is neither")
  func bayes() throws {
    let schedule = VariancePreserving()
    let point = EmpiricalDenoiser(data: Tensor(rows: [[0.8]]), on: schedule)
    func run(_ eta: Double) -> AffineRun {
      .step(from: 0.5, to: 0.4, in: point) { StochasticDDIM(eta: eta, noise: $0) }
    }
    #expect(abs(run(1).variance(0) - 0.5203249124492874) < 1e-12)
    // By Bayes' rule: precisions add.
    let (now, next) = (schedule.kernel(at: 0.5), schedule.kernel(at: 0.4))
    let ratio = now.alpha / next.alpha
    let transition = now.sigma * now.sigma - ratio * ratio * next.sigma * next.sigma
    let precision = ratio * ratio / transition + 1 / (next.sigma * next.sigma)
    #expect(abs(run(1).variance(0) - 1 / precision) < 1e-13)
    #expect(abs(run(1).slope - ratio / transition / precision) < 1e-13)
    #expect(abs(run(0.9).variance(0) - 1 / precision) > 1e-2 && abs(run(0.9).slope - run(1).slope) > 1e-2)
    let mixture = try LineFlow.mixture(on: .flowMatching).denoiser()
    let (x, draw) = (Tensor(rows: [[0.3], [-1.7], [2.2]]), Tensor(rows: [[1], [-0.5], [0.2]]))
    let (family, ancestral) = (StochasticDDIM(eta: 1, noise: .given([draw])), AncestralSampler(noise: .given([draw])))
    var memories = (family.makeMemory(), ancestral.makeMemory())
    expectClose(
      family.step(x, from: 0.8, to: 0.3, in: mixture, memory: &memories.0),
      ancestral.step(x, from: 0.8, to: 0.3, in: mixture, memory: &memories.1), within: 1e-13)
    let deterministic = StochasticDDIM(eta: 0, noise: .given([]))
    var (memory, none) = (deterministic.makeMemory(), NoMemory())
    expectClose(
      deterministic.step(x, from: 0.8, to: 0.3, in: mixture, memory: &memory),
      DDIM().step(x, from: 0.8, to: 0.3, in: mixture, memory: &none), within: 1e-15)
  }

  @Test(
    "Spec: C9.2c the variance that steps of the DDIM family miss is the printed one",
    arguments: [
      (0.0, [-0.06234, -0.03314, -0.01710, -0.00869, -0.00438]), (0.5, [-0.07031, .nan, .nan, .nan, -0.00543]),
      (1.0, [-0.10277, -0.05983, -0.03245, -0.01692, -0.00864]),
    ] as [(Double, [Double])])
  func deficit(_ eta: Double, _ printed: [Double]) throws {
    let schedule = VariancePreserving()
    let model = try LineFlow(weights: [1], means: [0], deviations: [0.5], on: schedule).denoiser()
    func variance(_ t: Double) -> Double { pow(schedule.alpha(t), 2) * 0.25 + pow(schedule.sigma(t), 2) }
    let found = [10, 20, 40, 80, 160].map { n in
      let grid = TimeGrid.uniformHalfLogSNR(n, over: schedule, from: 0.9, to: 0.05)
      let run = AffineRun.along(grid, in: model) { StochasticDDIM(eta: eta, noise: $0) }
      return run.variance(variance(0.9)) - variance(0.05)
    }
    for (found, printed) in zip(found, printed) where printed.isFinite {
      #expect(abs(found - printed) < 1e-5, "\(found)")
    }
    #expect(abs(log2(found[3] / found[4]) - 1) < 0.05)
  }

  @Test("Spec: C9.2c more fresh noise than there is at the end stops the process")
  func tooMuch() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let sampler = StochasticDDIM(noise: .seed(0)) { _, next in 1.1 * next.sigma }
      var memory = sampler.makeMemory()
      let model = EmpiricalDenoiser(data: Tensor(rows: [[0.8]]), on: .edm)
      _ = sampler.step(Tensor(rows: [[1]]), from: 2, to: 1, in: model, memory: &memory)
    }
    let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(message.contains("StochasticDDIM.step(from: 2.0, to: 1.0): c = 1.1 is not between 0 and σ = 1.0"))
  }

  @Test("Spec: B3.5 Langevin steps on a Gaussian end at s²/(1 − η/2s²)", arguments: [0.1, 0.5, 1])
  func langevin(_ size: Double) throws {
    for deviation in [1, 0.6] {
      // On `vp` standard normal data stay what they are; elsewhere the density at the level counts.
      let schedule = VariancePreserving()
      let model = try LineFlow(weights: [1], means: [0], deviations: [deviation], on: schedule).denoiser()
      let s2 = pow(schedule.alpha(0.2) * deviation, 2) + pow(schedule.sigma(0.2), 2)
      let run = AffineRun(draws: 1) { start, noise in
        var stream = NoiseStream(noise)
        return Langevin(.fixed(size))(start, at: 0.2, in: model, noise: &stream)
      }
      let limit = run.noise[0] * run.noise[0] / (1 - run.slope * run.slope)
      #expect(abs(limit - s2 / (1 - size / (2 * s2))) < 1e-12)
    }
    #expect(
      [0.1: 1.052631578947, 0.5: 1.333333333333, 1: 2][size].map { abs($0 - 1 / (1 - size / 2)) < 1e-12 } == true)
  }

  @Test("the corrector's step keeps the ratio of noise and score, sample by sample")
  func signalToNoise() throws {
    let schedule = VariancePreserving()
    let model = EmpiricalDenoiser(data: Tensor(rows: [[1, 0], [-1, 0.5]]), on: schedule)
    let x = Tensor(rows: [[0.3, 0.7], [-2, 1]])
    let draw = Tensor(rows: [[0.6, -0.8], [3, 4]])
    var stream = NoiseStream(.given([draw]))
    let next = Langevin(.signalToNoise(0.16))(x, at: 0.3, in: model, noise: &stream).doubles
    let (score, alpha) = (model.score(x, at: 0.3).doubles, schedule.alpha(0.3))
    for row in 0..<2 {
      let norm = hypot(score[2 * row], score[2 * row + 1])
      let size = 2 * pow(alpha * 0.16 * [1, 5][row] / norm, 2)
      for i in 2 * row..<2 * row + 2 {
        #expect(abs(next[i] - (x.doubles[i] + size * score[i] + (2 * size).squareRoot() * draw.doubles[i])) < 1e-13)
      }
    }
  }

  @Test("a corrector brings the variance nearer to the truth than its predictor alone")
  func predictorCorrector() throws {
    let (schedule, model) = (Self.vp.schedule, try Self.vp.denoiser())
    let grid = TimeGrid.uniform(100, over: schedule, from: 1, to: 1e-2)
    let exact = Self.exact(schedule, 1e-2)
    let alone = Self.moments(.along(grid, in: model) { EulerMaruyama(noise: $0) }, schedule, from: 1)
    let run = AffineRun(draws: 200) { start, noise in
      guard case .given(let draws) = noise else { return start }
      let sampler = PredictorCorrector(
        EulerMaruyama(noise: .given(Array(draws[..<100]))), corrector: Langevin(.fixed(0.01)),
        noise: .given(Array(draws[100...])))
      return integrate(start, along: grid, with: sampler, in: model)
    }
    let corrected = Self.moments(run, schedule, from: 1)
    #expect(abs(corrected.variance - exact.variance) < 0.9 * abs(alone.variance - exact.variance))
    // One step is the predictor's, then the corrector's at the time that is reached.
    let x = Tensor(rows: [[0.3], [-1.7]])
    let (first, second) = (Tensor(rows: [[1], [-0.5]]), Tensor(rows: [[0.2], [0.9]]))
    let both = PredictorCorrector(
      EulerMaruyama(noise: .given([first])), corrector: Langevin(.fixed(0.01)), noise: .given([second]))
    var (memory, plain, stream) = (both.makeMemory(), NoiseStream(.given([first])), NoiseStream(.given([second])))
    let predicted = both.predictor.step(x, from: 0.5, to: 0.4, in: model, memory: &plain)
    expectClose(
      both.step(x, from: 0.5, to: 0.4, in: model, memory: &memory),
      both.corrector(predicted, at: 0.4, in: model, noise: &stream), within: 1e-15)
  }

  @Test("Spec: B3.13 annealed dynamics finds both modes with their weights, and asks as often as it says")
  func annealed() throws {
    let world = LineFlow(weights: [0.3, 0.7], means: [-6, 6], deviations: [0.4, 0.6], on: .edm)
    let counted = CountedDenoiser(try world.denoiser())
    let levels = TimeGrid((0..<10).map { pow(10, 1 - 2 * Double($0) / 9) })
    var generator = Generator(seed: 1)
    let start = levels.first * Tensor.normal([5000, 1], using: &generator)
    let sampler = AnnealedLangevin(stepSize: 1e-3, atNoise: 0.1, count: 200, noise: .seed(2))
    let end = integrate(start, along: levels, with: sampler, in: counted).doubles
    #expect(counted.counter.count == 2000)
    let (left, right) = (end.filter { $0 < 0 }, end.filter { $0 > 0 })
    let mean = right.reduce(0, +) / Double(right.count)
    let deviation = (right.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(right.count)).squareRoot()
    #expect(abs(Double(left.count) / 5000 - 0.3) < 0.03)
    #expect(abs(mean - 6) < 0.03 && deviation > 0.6 && deviation < 0.64, "\(mean), \(deviation)")
    // Dynamics at the smallest level alone does not get there.
    var stream = NoiseStream(.seed(3))
    let alone = Langevin(.fixed(1e-3), count: 500)(start / 10, at: 0.1, in: counted, noise: &stream).doubles
    #expect(abs(Double(alone.filter { $0 < 0 }.count) / 5000 - 0.3) > 0.1)
  }

  @Test("annealed dynamics works at both levels of its first step and at one of each other; its steps are ε σ²/σ₁²")
  func annealedSteps() throws {
    let model = try LineFlow.gauss(on: .edm).denoiser()
    let grid = TimeGrid([10, pow(10, 5.0 / 9), 0.1])
    let run = AffineRun.along(grid, in: model, draws: 3) {
      AnnealedLangevin(stepSize: 1e-3, atNoise: 0.1, count: 1, noise: $0)
    }
    // The golden steps: 10 at σ = 10, 7.7426e−3 · … at the others; by hand.
    var (slope, noise) = (1.0, [Double]())
    for sigma in grid.times {
      let size = 1e-3 * sigma * sigma / 0.01
      let k = 1 - size / (1.69 + sigma * sigma)
      slope *= k
      noise = noise.map { k * $0 } + [(2 * size).squareRoot()]
    }
    #expect(abs(run.slope - slope) < 1e-13)
    for (a, b) in zip(run.noise, noise) { #expect(abs(a - b) < 1e-12) }
    // Between levels of another α, x/α stays.
    let vp = try Self.vp.denoiser()
    let idle = AffineRun.along(TimeGrid([0.5, 0.2]), in: vp, draws: 0) {
      AnnealedLangevin(Langevin(.fixed(1), count: 0), noise: $0)
    }
    #expect(abs(idle.slope - vp.schedule.alpha(0.2) / vp.schedule.alpha(0.5)) < 1e-14 && idle.offset == 0)
  }

  @Test(
    "EDM's churn raises the noise where it is asked to and by as much, and Heun's step takes it down",
    arguments: [0, 1, 40])
  func churn(_ total: Double) throws {
    let model = try LineFlow.gauss(on: .edm).denoiser()
    let n = 12
    let grid = TimeGrid.karras(n, over: .edm, from: 60, to: 0.02)
    let churn = StochasticHeun.Churn(total, over: n, range: 0.1...40, noiseScale: 1.1)
    let raised = total == 0 ? 0 : grid.times.dropLast().filter { $0 >= 0.1 && $0 <= 40 }.count
    let run = AffineRun.along(grid, in: model, draws: raised) { StochasticHeun(churn, noise: $0) }
    // The same by numbers: d = (x − 0.7) σ/(1.69 + σ²).
    func slope(_ x: Double, _ sigma: Double) -> Double { (x - 0.7) * sigma / (1.69 + sigma * sigma) }
    var (points, noises) = ([0.0, 1.0], [Double]())
    for (t, s) in zip(grid.times, grid.times.dropFirst()) {
      let gamma = total > 0 && t >= 0.1 && t <= 40 ? min(total / 12, 2.0.squareRoot() - 1) : 0
      let hat = t * (1 + gamma)
      func carry(_ x: Double) -> Double {
        let d = slope(x, hat)
        return x + (s - hat) * (d + slope(x + (s - hat) * d, s)) / 2
      }
      if gamma > 0 { noises.append(1.1 * (hat * hat - t * t).squareRoot()) }
      noises = noises.map { carry($0) - carry(0) }
      points = points.map(carry)
    }
    #expect(abs(run.offset - points[0]) < 1e-12 && abs(run.slope - (points[1] - points[0])) < 1e-12)
    #expect(run.noise.count == noises.count)
    for (a, b) in zip(run.noise, noises) { #expect(abs(a - b) < 1e-12) }
  }

  @Test(
    "EDM's sampler converges with order 2 without churn, and with churn to the same law",
    arguments: ["vp", "edm", "flow"])
  func churnLimit(_ name: String) throws {
    let schedule = NamedSchedule.named(name)
    let model = try LineFlow.gauss(on: schedule).denoiser()
    let (from, to) = (schedule.time(atNoiseToSignal: 20), schedule.time(atNoiseToSignal: 0.02))
    let exact = Self.exact(schedule, to)
    func errors(_ total: Double) -> [(steps: Int, error: Double)] {
      [40, 80, 160].map { n in
        let grid = TimeGrid.karras(n, over: schedule, from: from, to: to)
        let run = AffineRun.along(grid, in: model, draws: total == 0 ? 0 : n) {
          StochasticHeun(.init(total, over: n), noise: $0)
        }
        let end = Self.moments(run, schedule, from: from)
        return (n, max(abs(end.mean - exact.mean), abs(end.variance - exact.variance)))
      }
    }
    let (plain, churned) = (errors(0), errors(5))
    #expect(abs(observedOrder(plain) - 2) < 0.2, "\(plain)")
    #expect(plain[2].error < 1e-3 && churned[2].error < 0.01 && observedOrder(churned) > 0.8, "\(churned)")
  }

  @Test("SDE-DPM-Solver++ is ancestral in its first order; and of order 2 in its second")
  func sdeSolver() throws {
    let x = Tensor(rows: [[0.3], [-1.7], [2.2]])
    let draw = Tensor(rows: [[1], [-0.5], [0.2]])
    for name in ["vp", "edm", "flow"] {
      let schedule = NamedSchedule.named(name)
      let mixture = try LineFlow.mixture(on: schedule).denoiser()
      let (t, s) = (schedule.time(atNoiseToSignal: 3), schedule.time(atNoiseToSignal: 1.2))
      let (first, ancestral) = (SDEDPMSolver(.first, noise: .given([draw])), AncestralSampler(noise: .given([draw])))
      var memories = (first.makeMemory(), ancestral.makeMemory())
      expectClose(
        first.step(x, from: t, to: s, in: mixture, memory: &memories.0),
        ancestral.step(x, from: t, to: s, in: mixture, memory: &memories.1), within: 1e-12)
      let model = try LineFlow.gauss(on: schedule).denoiser()
      let (from, to) = (schedule.time(atNoiseToSignal: 20), schedule.time(atNoiseToSignal: 0.05))
      let exact = Self.exact(schedule, to)
      // The mean is exact: what is missed is the variance.
      func errors(_ order: SDEDPMSolver.Order) -> [(steps: Int, error: Double)] {
        [40, 80, 160].map { n in
          let grid = TimeGrid.uniformHalfLogSNR(n, over: schedule, from: from, to: to)
          let end = Self.moments(.along(grid, in: model) { SDEDPMSolver(order, noise: $0) }, schedule, from: from)
          #expect(abs(end.mean - exact.mean) < 1e-13)
          return (n, abs(end.variance - exact.variance))
        }
      }
      let (one, two) = (errors(.first), errors(.second))
      #expect(abs(observedOrder(one) - 1) < 0.2 && abs(observedOrder(two) - 2) < 0.2, "\(name) \(one) \(two)")
      #expect(two[2].error < 1e-3, "\(name) \(two)")
    }
  }

  @Test("the last step to no noise at all gives the estimate, and none divides by it")
  func lastStep() throws {
    let model = try LineFlow.mixture(on: NoiseToNothing()).denoiser()
    let x = Tensor(rows: [[0.3], [-1.7], [2.2]])
    let data = model.denoise(x, at: 0.5)
    func end<S: Solver>(_ solver: S) -> Tensor where S.Field == any Denoiser {
      var memory = solver.makeMemory()
      // A step before it, for methods that remember.
      _ = solver.step(x, from: 0.6, to: 0.5, in: model, memory: &memory)
      return solver.step(x, from: 0.5, to: 0, in: model, memory: &memory)
    }
    for end in [
      end(AncestralSampler(noise: .seed(1))), end(AncestralSampler(.large, noise: .seed(1))),
      end(StochasticDDIM(eta: 1, noise: .seed(1))), end(StochasticHeun()), end(SDEDPMSolver(.first, noise: .seed(1))),
      end(SDEDPMSolver(.second, noise: .seed(1))),
    ] { expectClose(end, data, within: 1e-14) }
  }

  /// `α = 1`, `σ = t`, down to nothing.
  struct NoiseToNothing: NoiseSchedule {
    var timeRange: ClosedRange<Double> { 0...1 }
    func alpha<S: Elementary>(_ t: S) -> S { 1 }
    func sigma<S: Elementary>(_ t: S) -> S { t }
  }

  @Test("the same seed gives the same bits and another one others; a corrector's draws are its own")
  func seeds() throws {
    let model = try Self.vp.denoiser()
    let start = Tensor.zeros([3, 1])
    let grid = TimeGrid.uniform(5, over: Self.vp.schedule, from: 1, to: 0.1)
    func end(_ seed: UInt64) -> Tensor {
      integrate(start, along: grid, with: EulerMaruyama(noise: .seed(seed)), in: model)
    }
    #expect(end(7).isIdentical(to: end(7)) && !end(7).isIdentical(to: end(8)))
    // What PyTorch draws from the seed.
    var (stream, other, generator) = (NoiseStream(.seed(7)), NoiseStream(.seed(7), number: 1), Generator(seed: 7))
    for _ in 0..<3 {
      let draw = stream.draw(like: start)
      #expect(draw.isIdentical(to: .normal([3, 1], using: &generator)))
      #expect(!draw.isIdentical(to: other.draw(like: start)))
    }
    #expect(stream.draw(like: start.to(.float32)).elementType == .float32)
  }

  @Test(
    "Spec: B2.11 B4.12 B6.12 on a mixture the samplers reach its law: W₁ and the mass of a mode",
    arguments: ["ancestral", "euler-maruyama", "half", "reverse-diffusion", "edm", "sde-dpm-solver++"])
  func law(_ name: String) throws {
    let world = LineFlow.mixture(on: .variancePreserving)
    let (schedule, model) = (world.schedule, try world.denoiser())
    let (count, to) = (20_000, 1e-3)
    var generator = Generator(seed: 1)
    let start = Tensor.normal([count, 1], using: &generator)
    func run<S: Solver>(_ grid: TimeGrid, _ solver: S) -> [Double] where S.Field == any Denoiser {
      integrate(start, along: grid, with: solver, in: model).doubles.sorted()
    }
    let uniform = TimeGrid.uniform(200, over: schedule, to: to)
    let even = TimeGrid.uniformHalfLogSNR(100, over: schedule, to: to)
    let end =
      switch name {
      case "ancestral": run(TimeGrid.uniformHalfLogSNR(200, over: schedule, to: to), AncestralSampler(noise: .seed(2)))
      case "euler-maruyama": run(uniform, EulerMaruyama(noise: .seed(2)))
      case "half": run(uniform, EulerMaruyama(share: 0.5, noise: .seed(2)))
      case "reverse-diffusion": run(uniform, ReverseDiffusion(noise: .seed(2)))
      case "edm": run(even, StochasticHeun(.init(20, over: 100), noise: .seed(2)))
      default: run(even, SDEDPMSolver(noise: .seed(2)))
      }
    // W₁ on a line is the area between the distribution functions.
    func mass(_ x: Double) -> Double {
      0.3 * 0.5 * erfc(-(x + 2) / (0.4 * 2.0.squareRoot())) + 0.7 * 0.5 * erfc(-(x - 1.5) / (0.6 * 2.0.squareRoot()))
    }
    var (distance, below) = (0.0, 0)
    for i in 0..<4000 {
      let x = -6 + 12 * (Double(i) + 0.5) / 4000
      while below < count, end[below] <= x { below += 1 }
      distance += abs(Double(below) / Double(count) - mass(x)) * 12 / 4000
    }
    let left = Double(end.filter { $0 < 0 }.count) / Double(count)
    #expect(distance < 0.06, "W₁ \(distance)")
    #expect(abs(left - 0.3) < 0.02, "left \(left)")
  }

  @Test("Spec: C9.2c over a coarse grid the DDIM family keeps the law given the data", arguments: [0, 0.5, 1])
  func skipping(_ eta: Double) {
    let schedule = VariancePreserving()
    let model = EmpiricalDenoiser(data: Tensor(rows: [[0.8]]), on: schedule)
    let run = AffineRun.along(TimeGrid([0.9, 0.5, 0.31, 0.02]), in: model) { StochasticDDIM(eta: eta, noise: $0) }
    #expect(abs(run.mean(0.8 * schedule.alpha(0.9)) - 0.8 * schedule.alpha(0.02)) < 1e-13)
    #expect(abs(run.variance(pow(schedule.sigma(0.9), 2)) - pow(schedule.sigma(0.02), 2)) < 1e-13)
  }

  @Test("Spec: B3.5 Langevin dynamics at a small level does not change modes")
  func stuck() throws {
    let world = LineFlow(weights: [0.3, 0.7], means: [-6, 6], deviations: [0.4, 0.6], on: .edm)
    var (generator, stream) = (Generator(seed: 1), NoiseStream(.seed(2)))
    let start = 6 + 0.5 * Tensor.normal([500, 1], using: &generator)
    let end = Langevin(.fixed(5e-3), count: 3000)(start, at: 0.1, in: try world.denoiser(), noise: &stream)
    #expect(end.doubles.allSatisfy { $0 > 0 })
  }

  @Test("a plain draw and a corrector's with the same seed differ")
  func correctorSeed() throws {
    let model = try Self.vp.denoiser()
    let start = Tensor.zeros([3, 1])
    let sampler = PredictorCorrector(
      StochasticDDIM(eta: 0, noise: .given([])), corrector: Langevin(.fixed(0.01)), noise: .seed(7))
    var (memory, same) = (sampler.makeMemory(), NoiseStream(.seed(7)))
    let next = sampler.step(start, from: 0.5, to: 0.4, in: model, memory: &memory)
    var none = NoiseStream(.given([]))
    let predicted = sampler.predictor.step(start, from: 0.5, to: 0.4, in: model, memory: &none)
    let other = sampler.corrector(predicted, at: 0.4, in: model, noise: &same)
    #expect((next - other).abs().max().item > 1e-3)
  }

  @Test("churn does not raise the noise out of the schedule's range")
  func churnedRange() throws {
    let model = try LineFlow.gauss(on: .edm).denoiser()
    let run = AffineRun.step(from: 95, to: 90, in: model) { StochasticHeun(.init(10, over: 10), noise: $0) }
    // To 100, the range's end, and not to 95 √2: by hand, d = (x − 0.7) σ/(1.69 + σ²).
    func slope(_ x: Double, _ sigma: Double) -> Double { (x - 0.7) * sigma / (1.69 + sigma * sigma) }
    func carry(_ x: Double) -> Double {
      let d = slope(x, 100)
      return x - 10 * (d + slope(x - 10 * d, 90)) / 2
    }
    let raised = (100.0 * 100 - 95 * 95).squareRoot()
    #expect(abs(run.noise[0] - (carry(raised) - carry(0))) < 1e-9)
  }
}
