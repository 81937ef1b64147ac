import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct ThresholdTests {
  /// A denoiser that gives what it is told.
  struct Given: Denoiser {
    let answer: Tensor
    let schedule: any NoiseSchedule = EDMSchedule()
    func denoise(_ x: Tensor, at t: Double) -> Tensor { answer }
  }

  func threshold(_ answer: Tensor, _ threshold: ThresholdedDenoiser<Given>.Threshold, magnitude: Double = 1) -> Tensor {
    ThresholdedDenoiser(Given(answer: answer), threshold, magnitude: magnitude).denoise(answer, at: 1)
  }

  @Test("Spec: C9.5d estimates within the range stay as they are")
  func identity() {
    let inside = Tensor(rows: [[0.3, -1, 0.9], [1, 0, -0.2]])
    #expect(threshold(inside, .fixed).isIdentical(to: inside))
    #expect(threshold(inside, .dynamic()).isIdentical(to: inside))
  }

  @Test("several questions at once are kept in the range as one is, and the standard quantile is 0.995")
  func several() {
    let x = 3 * SplitMix(seed: 5).symmetric([2, 1000])
    let field = ThresholdedDenoiser(Given(answer: x))
    let answers = field.denoise([x, x], at: [1, 2])
    #expect(answers.count == 2 && answers.allSatisfy { $0.isIdentical(to: field.denoise(x, at: 1)) })
    #expect(field.denoise(x, at: 1).isIdentical(to: threshold(x, .dynamic(quantile: 0.995))))
    #expect(!field.denoise(x, at: 1).isIdentical(to: threshold(x, .dynamic(quantile: 0.99))))
  }

  @Test("Spec: C9.5d a fixed threshold cuts, a dynamic one cuts at a quantile of each sample and rescales it")
  func cuts() {
    let x = Tensor([0.5, -3, 2, 1, 0.1, 0.2, -0.4, 0.8], shape: [2, 2, 2])
    #expect(threshold(x, .fixed).doubles == [0.5, -1, 1, 1, 0.1, 0.2, -0.4, 0.8])
    #expect(threshold(x, .fixed, magnitude: 2).doubles == [0.5, -2, 2, 1, 0.1, 0.2, -0.4, 0.8])
    // Magnitudes 0.5, 1, 2, 3: their upper quartile is 2.25, by linear interpolation.
    let expected = Tensor([0.5 / 2.25, -1, 2 / 2.25, 1 / 2.25, 0.1, 0.2, -0.4, 0.8], shape: [2, 2, 2])
    expectClose(threshold(x, .dynamic(quantile: 0.75)), expected, within: 1e-15)
    expectClose(threshold(2 * x, .dynamic(quantile: 0.75), magnitude: 2), 2 * expected, within: 1e-15)
  }

  @Test("Spec: C9.5d a dynamically thresholded estimate lies in the range and does not know how large it was")
  func scale() {
    let x = 5 * SplitMix(seed: 3).symmetric([4, 300])
    let kept = threshold(x, .dynamic())
    #expect(kept.abs().max().item <= 1)
    expectClose(threshold(3 * x, .dynamic()), kept, within: 1e-14)
  }

  @Test("Spec: C9.5d solvers of the noise see the noise that belongs to the kept estimate")
  func noise() {
    let field = ThresholdedDenoiser(Given(answer: Tensor(rows: [[3]])), .fixed)
    let x = Tensor(rows: [[2]])
    #expect(field.noise(x, at: 0.5).item == 2)
    let ends = [
      integrate(x, along: TimeGrid([0.5, 0.2]), with: .dpmSolver1, in: field),
      integrate(x, along: TimeGrid([0.5, 0.2]), with: .dpmSolverPlusPlus1, in: field),
    ]
    for end in ends { #expect(abs(end.item - (1 + 0.2 * 2)) < 1e-14) }
  }

  /// Root mean square errors at the end of guided flows, as the specification prints them.
  struct Printed: Sendable, CustomStringConvertible {
    let scale: Double
    let calls: Int
    /// DDIM, DEIS-2, DPM-2, DPM-3, ++(2S), ++(2M).
    let errors: [Double]
    var description: String { "guidance \(scale), \(calls) calls" }
  }

  static let printed: [Printed] = [
    .init(scale: 1, calls: 8, errors: [0.1067, 0.0299, 0.1056, 0.1227, 0.0598, 0.0125]),
    .init(scale: 1, calls: 24, errors: [0.0374, 0.0020, 0.0102, 0.0007, 0.0084, 0.0009]),
    .init(scale: 4, calls: 8, errors: [0.1728, 0.1004, 1.6925, 6.1975, 0.0869, 0.2302]),
    .init(scale: 4, calls: 12, errors: [0.1106, 0.0335, 0.3604, 0.3464, 0.0357, 0.0916]),
    .init(scale: 7.5, calls: 8, errors: [0.2202, 0.1073, 2.1970, 7.9672, 0.0447, 0.3986]),
    .init(scale: 7.5, calls: 12, errors: [0.1352, 0.0447, 0.5895, 0.6524, 0.0554, 0.1546]),
    .init(scale: 7.5, calls: 16, errors: [0.0985, 0.0195, 0.2493, 0.1100, 0.0376, 0.0792]),
    .init(scale: 7.5, calls: 24, errors: [0.0641, 0.0055, 0.0816, 0.0397, 0.0184, 0.0317]),
  ]

  /// A cloud of normal quantiles.
  static let cloud: Tensor = {
    let quantiles = Tensor((0..<16).map { 2 * (Double($0) + 0.5) / 16 - 1 }).erfinv() * 2.0.squareRoot()
    let values = quantiles.doubles
    return Tensor(rows: values.flatMap { a in values.map { [a, $0] } })
  }()

  @Test("Spec: C9.5d errors of few guided steps are the printed ones", arguments: printed)
  func guided(_ printed: Printed) throws {
    let world = PlaneFlow.vp
    let mixture = PlaneFlow.mixture
    let first = try GaussianMixture(
      means: mixture.means[..<1], covariances: Tensor([0.3, 0.1, 0.1, 0.2], shape: [1, 2, 2]))
    let guided = ClassifierFreeGuidance(
      GaussianMixtureDenoiser(first, on: world.schedule), over: world.denoiser, scale: printed.scale)
    let start = world.schedule.sigma(world.from) * Self.cloud
    let exact = integrate(
      start, from: world.from, to: world.to, with: .dormandPrince, controller: StepController(rtol: 1e-10, atol: 1e-10),
      in: ProbabilityFlow(guided)
    ).state
    func error<S: Solver>(_ solver: S, costing evaluations: Int = 1) -> Double where S.Field == any Denoiser {
      let grid = world.halfLogSNRGrid(printed.calls / evaluations)
      return (integrate(start, along: grid, with: solver, in: guided) - exact).squared().sum(-1).mean().item
        .squareRoot()
    }
    let errors = [
      error(.ddim), error(.deis(2)), error(.dpmSolver2, costing: 2), error(.dpmSolver3, costing: 3),
      error(.dpmSolverPlusPlus2S, costing: 2), error(.dpmSolverPlusPlus2M),
    ]
    for (found, expected) in zip(errors, printed.errors) { #expect(abs(found - expected) < 5e-4, "\(errors)") }
    // Strong guidance: methods of the noise lose to DDIM where methods of the data win.
    if printed.scale == 7.5, printed.calls <= 16 {
      #expect(errors[2] > errors[0] && errors[3] > errors[0] && errors[4] < errors[0])
    }
    if printed.scale == 7.5, printed.calls >= 16 { #expect(errors[5] < errors[0]) }
  }

  // MARK: Adaptive pairs

  @Test("Spec: C9.4f errors of the adaptive pairs follow the tolerance, and their steps end where they should")
  func adaptive() {
    func check(_ solver: EmbeddedExponentialRungeKutta) {
      for world in [PlaneFlow.vp, .edm] {
        var last = Double.infinity
        for rtol in [1e-1, 1e-2, 1e-3, 1e-4] {
          let counted = CountedDenoiser(world.denoiser)
          let end = integrate(
            world.start, from: world.from, to: world.to, with: solver,
            controller: StepController(rtol: rtol, atol: rtol),
            in: counted)
          let error = distance(end.state, world.end)
          #expect(end.outcome == .converged && end.time == world.to)
          #expect(error < 10 * rtol && error < last, "\(world), rtol \(rtol): \(error)")
          #expect(end.statistics.evaluations == counted.counter.count)
          // A rejected step keeps what it learned where it began.
          #expect(
            end.statistics.evaluations
              == solver.tableau.stages * end.statistics.attempts - end.statistics.rejected)
          last = error
        }
      }
    }
    check(.dpmSolver12)
    check(.dpmSolver23)
  }

  @Test("Spec: C9.4f steps in λ are those of the published controller, number by number", arguments: PlaneFlow.all)
  func published(_ world: PlaneFlow) {
    let (field, rtol, atol) = (world.denoiser, 0.05, 0.0078)
    let schedule = field.schedule
    func lambda(_ t: Double) -> Double { schedule.kernel(at: t).halfLogSNR }
    // Algorithm 3 of the paper, for the pair of orders 1 and 2.
    var (x, lower, t, h) = (world.start, world.start, world.from, 0.05)
    var (accepted, rejected) = (0, 0)
    while t != world.to, accepted + rejected < 1000 {
      let isLast = h >= (lambda(world.to) - lambda(t)) * (1 - 1e-6)
      let s = isLast ? world.to : schedule.time(atHalfLogSNR: lambda(t) + h)
      let step = TimeGrid([t, s])
      let first = integrate(x, along: step, with: .dpmSolver1, in: field)
      let second = integrate(x, along: step, with: .dpmSolver2, in: field)
      let scale = (rtol * Tensor.maximum(first.abs(), lower.abs())).clamped(atol)
      let error = ((first - second) / scale).squared().mean(-1).max().item.squareRoot()
      let length = lambda(s) - lambda(t)
      if error <= 1 {
        (x, lower, t) = (second, first, s)
        accepted += 1
      } else {
        rejected += 1
      }
      h = 0.9 * length * pow(error, -0.5)
    }
    let found = Self.adapted(.dpmSolver12, world, .dpmSolver())
    expectClose(found.state, x, within: 1e-9)
    #expect(found.memory.statistics.accepted == accepted && found.memory.statistics.rejected == rejected)
    // A refused step keeps what was learned where it began.
    #expect(found.memory.statistics.evaluations == 2 * accepted + rejected)
    #expect(found.memory.time == world.to && accepted > 3)
  }

  static func adapted(
    _ pair: EmbeddedExponentialRungeKutta, _ world: PlaneFlow, _ controller: StepController
  ) -> (state: Tensor, memory: Adaptive<EmbeddedExponentialRungeKutta>.Memory) {
    let solver = Adaptive(pair, controller, in: .halfLogSNR)
    var memory = solver.makeMemory()
    let state = solver.step(world.start, from: world.from, to: world.to, in: world.denoiser, memory: &memory)
    return (state, memory)
  }

  @Test("Spec: C9.4f errors of the published controller fall with its tolerance", arguments: PlaneFlow.all)
  func publishedErrors(_ world: PlaneFlow) {
    for pair in [EmbeddedExponentialRungeKutta.dpmSolver12, .dpmSolver23] {
      var last = Double.infinity
      for rtol in [0.1, 0.01, 0.001] {
        let (state, memory) = Self.adapted(pair, world, .dpmSolver(rtol: rtol, atol: 0.156 * rtol))
        let error = distance(state, world.end)
        #expect(error < 10 * rtol && error < last, "\(rtol): \(error)")
        #expect(memory.outcome == .converged && memory.time == world.to)
        last = error
      }
    }
  }

  @Test("steps in λ go from noise alone to data alone in one step each, and out of a step limit with an outcome")
  func adaptiveEnds() {
    let field = GaussianMixtureDenoiser(PlaneFlow.mixture, on: SolverLaws.WholeLine())
    let solver = Adaptive(
      EmbeddedExponentialRungeKutta.dpmSolver23, .dpmSolver(rtol: 1e-3, atol: 1e-4), in: .halfLogSNR)
    var memory = solver.makeMemory()
    var x = PlaneFlow.starts
    for (t, s) in [(1, 0.98), (0.98, 0.02), (0.02, 0)] {
      let before = memory.statistics.attempts
      x = solver.step(x, from: t, to: s, in: field, memory: &memory)
      #expect((memory.statistics.attempts - before == 1) == (s != 0.02) && memory.time == s)
    }
    let fine = integrate(
      PlaneFlow.starts,
      along: TimeGrid([1] + TimeGrid.uniformHalfLogSNR(400, over: field.schedule, from: 0.98, to: 0.02).times + [0]),
      with: .dpmSolver3, in: field)
    #expect(distance(x, fine) < 0.02)
    var controller = StepController.dpmSolver()
    controller.stepLimit = 2
    let cut = Self.adapted(.dpmSolver12, .vp, controller)
    #expect(cut.memory.outcome == .stepLimit && cut.memory.time! < PlaneFlow.vp.from)
  }

  @Test(
    "Spec: C9.4f the estimate is the difference of the two solutions and shrinks with one power more than its order")
  func estimate() {
    let world = PlaneFlow.vp
    func errors(_ solver: EmbeddedExponentialRungeKutta) -> [(steps: Int, error: Double)] {
      [64, 128, 256].map { n in
        var memory = solver.makeMemory()
        let attempt = solver.attempt(
          world.start, from: 0.5, to: 0.5 - 1 / Double(n), in: world.denoiser, memory: &memory)
        return (n, attempt.error.abs().max().item)
      }
    }
    #expect(abs(observedOrder(errors(.dpmSolver12)) - 2) < 0.25)
    #expect(abs(observedOrder(errors(.dpmSolver23)) - 3) < 0.25)
    let pair = EmbeddedExponentialRungeKutta.dpmSolver12
    var memory = pair.makeMemory()
    let attempt = pair.attempt(world.start, from: 0.5, to: 0.4, in: world.denoiser, memory: &memory)
    let ddim = integrate(world.start, along: TimeGrid([0.5, 0.4]), with: .ddim, in: world.denoiser)
    expectClose(attempt.error, attempt.state - ddim, within: 1e-12)
  }
}
