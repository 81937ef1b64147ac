import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// DPM-Solver-v3 with statistics that are known.
@Suite struct DPMSolverV3Tests {
  /// The statistics of the mixture in a plane, by quadrature elsewhere.
  static func plane() throws -> ModelStatistics {
    let golden = try Golden("statistics")
    let nodes = try golden["half_log_snr"].doubles
    return ModelStatistics(l: try golden["l"], a: try golden["a"], b: try golden["b"], over: nodes[0]...nodes.last!)
  }

  static func end(
    _ order: Int, _ statistics: ModelStatistics, _ world: PlaneFlow, _ grid: TimeGrid
  ) -> Tensor {
    integrate(world.start, along: grid, with: DPMSolverV3(order, statistics), in: world.denoiser)
  }

  /// Root mean square over points of the distance.
  static func error(_ a: Tensor, _ b: Tensor) -> Double { (a - b).squared().sum(-1).mean().item.squareRoot() }

  // MARK: One step

  /// The flow of N(m, diag s²) in closed form: it keeps the distance from the mean in standard deviations.
  struct Gaussian {
    let mean = Tensor(rows: [[0.7, -1.2, 2]])
    let deviation = Tensor(rows: [[1.3, 0.2, 0.6]])

    func denoiser(on schedule: any NoiseSchedule) throws -> GaussianMixtureDenoiser {
      GaussianMixtureDenoiser(
        try GaussianMixture(means: mean, standardDeviations: deviation), on: schedule)
    }

    func carry(_ x: Tensor, from t: PerturbationKernel, to s: PerturbationKernel) -> Tensor {
      func spread(_ k: PerturbationKernel) -> Tensor {
        ((k.alpha * k.alpha) * deviation.squared() + k.sigma * k.sigma).sqrt()
      }
      return s.alpha * mean + (x - t.alpha * mean) * spread(s) / spread(t)
    }

    /// `ℓ = 1/(1 + s² e^{2λ})`, `a = 0`, `b = −ℓ̇ m`.
    func statistics(over range: ClosedRange<Double>, nodes: Int) -> ModelStatistics {
      let lambdas = Tensor.linspace(from: range.lowerBound, to: range.upperBound, count: nodes).expanded(at: 1)
      let l = 1 / (1 + (2 * lambdas).exp() * deviation.squared())
      return ModelStatistics(l: l, a: .zeros([nodes, 3]), b: 2 * l * (1 - l) * mean, over: range)
    }
  }

  @Test(
    "Spec: C9.7b one step of any length is exact on Gaussian data, on every schedule",
    arguments: PlaneFlow.all, [1, 2, 3])
  func exactStep(_ world: PlaneFlow, _ order: Int) throws {
    let gaussian = Gaussian()
    let denoiser = try gaussian.denoiser(on: world.schedule)
    let (now, next) = (world.schedule.kernel(at: world.from), world.schedule.kernel(at: world.to))
    let x = now.sigma * Tensor(rows: [[0.3, -0.7, 1], [-1.1, 0.4, 0.2], [0.8, 1.2, -2]])
    let exact = gaussian.carry(x, from: now, to: next)
    let range = now.halfLogSNR...next.halfLogSNR
    let grid = TimeGrid([world.from, world.to])
    let ddim = distance(integrate(x, along: grid, with: .ddim, in: denoiser), exact)
    #expect((0.9...2.7).contains(ddim), "\(ddim)")
    for (nodes, tolerance) in [(500, 1e-10), (20_000, 1e-12)] {
      let solver = DPMSolverV3(order, gaussian.statistics(over: range, nodes: nodes))
      let error = distance(integrate(x, along: grid, with: solver, in: denoiser), exact)
      #expect(error < tolerance, "\(nodes) nodes: \(error)")
    }
  }

  // MARK: Goldens

  @Test(
    "Spec: C9.7b C9.7c ends of ten steps are those of the step's own differential equation", arguments: PlaneFlow.all,
    [1, 2, 3])
  func golden(_ world: PlaneFlow, _ order: Int) throws {
    let expected = try Golden("statistics")["\(world).\(order - 1)"]
    let found = Self.end(order, try Self.plane(), world, world.halfLogSNRGrid(10))
    #expect(distance(found, expected) < 1e-12)
  }

  // MARK: Special cases

  @Test(
    "Spec: C9.7b constant statistics, however few nodes there are, have the integrals of the closed form",
    arguments: [-1.0, 1])
  func constants(_ direction: Double) {
    let (l, a, b, h) = (0.5, -1.5, 2.0, 3 * direction)
    let statistics = ModelStatistics(l: .full([2], l), a: .full([2], a), b: .full([2], b), over: -2...2)
    let (begin, end) = (exp(1.5 * direction), exp(1.5 * direction - h))
    let (x, data) = (Tensor(rows: [[0.7, -1.1]]), Tensor(rows: [[0.4, 0.9]]))
    let found = integrate(
      x, along: TimeGrid([begin, end]), with: DPMSolverV3(1, statistics), in: ThresholdTests.Given(answer: data))
    // E = e^{(ℓ + a) τ}, B = b (1 − e^{−aτ})/a.
    let growth = expm1((l + a) * h) / (l + a)
    let drift = b / a * (growth - expm1(l * h) / l)
    let expected = exp(-l * h) * (x - growth * ((1 - l) * x - data) - drift)
    expectClose(found, expected, within: 1e-12)
  }

  @Test("Spec: C9.7c a single-step start lets the third order be one, at two evaluations more")
  func singleStepStart() throws {
    let world = PlaneFlow.vp
    let solver = DPMSolverV3(3, try Self.plane(), start: .singleStep)
    let errors = [40, 80].map { n in
      let counted = CountedDenoiser(world.denoiser)
      let end = integrate(world.start, along: world.halfLogSNRGrid(n), with: solver, in: counted)
      #expect(counted.counter.count == n + 2)
      return (steps: n, error: distance(end, world.end))
    }
    #expect(observedOrder(errors) > 2.8, "\(errors)")
  }

  @Test("time may turn on the way")
  func turn() throws {
    let world = PlaneFlow.vp
    let (t, s) = (world.from, world.halfLogSNRGrid(40).times[1])
    let solver = DPMSolverV3(3, try Self.plane())
    var (memory, x) = (solver.makeMemory(), world.start)
    for (from, to) in [(t, s), (s, t), (t, s), (s, t)] {
      x = solver.step(x, from: from, to: to, in: world.denoiser, memory: &memory)
    }
    #expect(distance(x, world.start) < 1e-2)
  }

  @Test(
    "Spec: C9.7d C9.6 C9.5c C9.3b constant statistics make DDIM, DPM-Solver++(2M) exact and DEIS-1 in λ of it",
    arguments: PlaneFlow.all)
  func special(_ world: PlaneFlow) {
    for grid in [world.halfLogSNRGrid(7), world.timeGrid(9)] {
      for frame in Frame.allCases {
        let statistics = ModelStatistics.frame(frame, over: -5...5)
        for degree in 0...2 {
          let expected = SolverLaws.end(
            ExponentialAdamsBashforth(frame, degree: degree, in: .halfLogSNR), world, grid)
          let found = Self.end(degree + 1, statistics, world, grid)
          expectClose(found, expected, within: 5e-13)
        }
        expectClose(Self.end(1, statistics, world, grid), SolverLaws.end(.ddim, world, grid), within: 5e-13)
      }
    }
  }

  @Test("Spec: C9.7d E17 the printed form, which does not divide by α, is DDIM only where α is 1")
  func unnormalised() {
    /// `e^{−∫a} = e^{λ − λ_s}` and `ℓ = 0` in `dx = (α̇/α) x − N`, `N = σ ε̂`, one step of the first order from λ = 0 to 0.5.
    func weight(_ schedule: any NoiseSchedule) -> Double {
      let kernels = (0...200).map { schedule.kernel(at: schedule.time(atHalfLogSNR: 0.0025 * Double($0))) }
      let values = kernels.map { kernels[0].alpha / $0.alpha * exp(-$0.halfLogSNR) }
      return -(kernels[200].alpha / kernels[0].alpha) * kernels[0].sigma * simpson(values, 0.0025)
    }
    func ddim(_ schedule: any NoiseSchedule) -> Double {
      let kernels = [0, 0.5].map { schedule.kernel(at: schedule.time(atHalfLogSNR: $0)) }
      return kernels[1].sigma - kernels[1].alpha * kernels[0].noiseToSignal
    }
    #expect(abs(weight(.edm) / ddim(.edm) - 1) < 1e-10)
    #expect(abs(weight(.variancePreserving) / ddim(.variancePreserving) - 1) > 0.05)
  }

  // MARK: Few steps

  /// Of 256 starts, as the guide has them: DDIM, the first order, both special cases at the second order, the second and the third.
  static let fewStepErrors = [
    "flow": [0.2391, 0.1504, 0.0836, 0.0617, 0.0513, 0.0366], "edm": [0.1636, 0.0939, 0.0474, 0.0257, 0.0374, 0.0138],
    "vp": [0.2455, 0.1440, 0.0843, 0.0623, 0.0612, 0.0487], "trig": [0.2147, 0.1325, 0.0600, 0.0455, 0.0378, 0.0257],
  ]

  @Test(
    "Spec: C9.7b C9.7c C9.7d ten steps with the model's own statistics beat DDIM, and the special cases almost everywhere",
    arguments: PlaneFlow.all)
  func fewSteps(_ world: PlaneFlow) throws {
    let start = world.schedule.sigma(world.from) * ThresholdTests.cloud
    let exact = integrate(
      start, from: world.from, to: world.to, with: .dormandPrince, controller: StepController(rtol: 1e-10, atol: 1e-10),
      in: ProbabilityFlow(world.denoiser)
    ).state
    let counted = CountedDenoiser(world.denoiser)
    func error<S: Solver>(_ solver: S) -> Double where S.Field == any Denoiser {
      Self.error(integrate(start, along: world.halfLogSNRGrid(10), with: solver, in: counted), exact)
    }
    let (own, noise, data) = (
      try Self.plane(), ModelStatistics.frame(.noise, over: -5...5), ModelStatistics.frame(.data, over: -5...5)
    )
    let errors = [
      error(.ddim), error(DPMSolverV3(1, own)), error(DPMSolverV3(2, noise)), error(DPMSolverV3(2, data)),
      error(DPMSolverV3(2, own)), error(DPMSolverV3(3, own)),
    ]
    // One evaluation per step.
    #expect(counted.counter.count == 60)
    for (found, expected) in zip(errors, Self.fewStepErrors[world.description]!) {
      #expect(abs(found - expected) < 5e-5, "\(errors)")
    }
    #expect(errors[1] < errors[0])
    // Where α is 1 the special case of the data is the better one here, at the second order.
    #expect(errors[4] < errors[2] && (errors[4] < errors[3]) == (world.description != "edm"))
    #expect(errors[5] < errors[4])
  }

  // MARK: Orders

  @Test(
    "Spec: C9.7b C9.7c the order test of the four schedules, with the model's own statistics", arguments: PlaneFlow.all,
    [1, 2, 3])
  func order(_ world: PlaneFlow, _ order: Int) throws {
    let claim = SolverClaim.denoiser("", order, 1, DPMSolverV3(order, try Self.plane()))
    let errors = [40, 80, 160, 320].map { n in
      let grid = world.halfLogSNRGrid(n)
      let starts = order == 3 ? world.states(TimeGrid(Array(grid.times[..<3]))) : [world.start]
      return (steps: n, error: distance(claim.runFrom(starts, grid, world.denoiser), world.end))
    }
    let slopes = zip(errors, errors.dropFirst()).map { log2($0.error / $1.error) }
    for slope in slopes.suffix(2) { #expect(abs(slope - Double(order)) < (order == 3 ? 0.25 : 0.12), "\(slopes)") }
  }

  // MARK: Higher orders

  /// A field whose `N̂` is a polynomial of λ, whatever the state.
  struct PolynomialRemainder: Denoiser, VelocityField {
    let degree: Int
    let formula = StatisticsFormula.plane
    let schedule: any NoiseSchedule = EDMSchedule()

    func remainder(_ lambda: Double) -> Tensor {
      let polynomial = (0...degree).map { pow(lambda - 0.3, Double($0)) / Double($0 + 1) }.reduce(0, +)
      return formula.scale(lambda).exp() * (polynomial + formula.shift(lambda))
    }
    func denoise(_ x: Tensor, at t: Double) -> Tensor {
      let lambda = -log(t)
      return (1 - formula.l(lambda)) * x - remainder(lambda)
    }
    /// `dx/dt` with `α = 1`, `λ = −log t`.
    func velocity(_ x: Tensor, at t: Double) -> Tensor {
      (formula.l(-log(t)) * x + remainder(-log(t))) / t
    }
  }

  @Test("Spec: C9.7c E18 the Vandermonde system is exact where N̂ is a polynomial of its degree", arguments: 0...2)
  func polynomial(_ degree: Int) {
    let field = PolynomialRemainder(degree: degree)
    let grid = TimeGrid([2, 1.8, 1.5, 0.9, 0.8, 0.5])
    let start = Tensor(rows: [[0.4, -1.2], [2, 0.3]])
    let solver = Adaptive(.dormandPrince, StepController(rtol: 1e-13, atol: 1e-13, norm: .maximum))
    let exact = Trajectory(from: start, along: grid, with: solver, in: field).map(\.state)
    let v3 = DPMSolverV3(degree + 1, field.formula.statistics(over: -1...1, nodes: 4001))
    let claim = SolverClaim.denoiser("", degree + 1, 1, v3)
    expectClose(claim.runFrom(Array(exact[...degree]), grid, field), exact[5], within: 1e-10)
  }

  private func simpson(_ values: [Double], _ width: Double) -> Double {
    values.indices.reduce(0) { sum, i in
      let weight: Double = i == 0 || i == values.count - 1 ? 1 : (i % 2 == 1 ? 4 : 2)
      return sum + weight * values[i] * width / 3
    }
  }

  private func simpson(_ values: [Tensor], _ width: Double) -> Tensor {
    .combination(
      values.indices.map { i in
        let weight: Double = i == 0 || i == values.count - 1 ? 1 : (i % 2 == 1 ? 4 : 2)
        return (weight * width / 3, values[i])
      })
  }

  @Test(
    "Spec: C9.7c proposition 9.7.1, its sign and factorials corrected, is the error of a step",
    arguments: PlaneFlow.all, [1, 2])
  func proposition(_ world: PlaneFlow, _ degree: Int) {
    let formula = StatisticsFormula.plane
    let coarse = world.halfLogSNRGrid(8).times[..<(degree + 2)]
    let kernels = world.schedule.kernels(at: Array(coarse))
    let (begin, end) = (kernels[degree], kernels[degree + 1])
    let count = 400
    let width = (end.halfLogSNR - begin.halfLogSNR) / Double(count)
    let lambdas = (0...count).map { begin.halfLogSNR + width * Double($0) }
    let inner = lambdas[1..<count].map { world.schedule.time(atHalfLogSNR: $0) }
    let fine = [begin.time] + inner + [end.time]
    let states = world.states(TimeGrid(Array(coarse[..<degree]) + fine))
    let denoiser = world.denoiser
    /// `N̂`, anchored at the step's begin.
    func anchored(_ index: Int, _ time: Double) -> Tensor {
      let kernel = world.schedule.kernel(at: time)
      let remainder = formula.remainder(states[index], denoiser.denoise(states[index], at: time), kernel)
      return formula.anchored(remainder, at: kernel.halfLogSNR, from: begin.halfLogSNR)
    }
    let along = zip(fine, degree...).map { anchored($1, $0) }
    let changes = (0..<degree).map { anchored($0, coarse[$0]) - along[0] }
    // Ñ^(p)/p! of one or two differences, by Cramer's rule.
    let d = (0..<degree).map { kernels[$0].halfLogSNR - begin.halfLogSNR }
    let derivatives: [Tensor]
    if degree == 1 {
      derivatives = [changes[0] / d[0]]
    } else {
      let determinant = d[0] * d[1] * (d[1] - d[0])
      derivatives = [
        (d[1] * d[1] * changes[0] - d[0] * d[0] * changes[1]) / determinant,
        (d[0] * changes[1] - d[1] * changes[0]) / determinant,
      ]
    }
    let integrand = zip(along, lambdas).map { value, lambda in
      let growth = formula.growth(begin.halfLogSNR, lambda)
      let model = derivatives.enumerated().map { pow(lambda - begin.halfLogSNR, Double($0 + 1)) * $1 }
      return model.reduce(value - along[0]) { $0 - $1 } * growth
    }
    let decay = (formula.linear(begin.halfLogSNR) - formula.linear(end.halfLogSNR)).exp()
    let predicted = end.alpha * decay * simpson(integrand, width)

    let solver = DPMSolverV3(degree + 1, StatisticsFormula.planeTables)
    let claim = SolverClaim.denoiser("", degree + 1, 1, solver)
    let found = claim.runFrom(Array(states[...degree]), TimeGrid(Array(coarse)), denoiser)
    let error = found - states[degree + count]
    #expect(distance(error, predicted) < 1e-8)
    #expect(error.abs().max().item > 1e-5)
  }

  // MARK: Refusals

  @Test(
    "orders, samples and times that the statistics are not for stop the process",
    arguments: [
      (0, "DPMSolverV3(0): the order is 1, 2 or 3"),
      (1, "DPMSolverV3.step(from: 5.0, to: 0.1): λ = -1.6094379124341003 is outside the statistics' range -1.0...3.0"),
      (2, "DPMSolverV3.step([4, 2]): the statistics are those of samples of shape [3]"),
      (3, "ModelStatistics([1], [1], [1]): needs three tables of one shape, and two nodes"),
      (4, "ModelStatistics([3], [3], [2]): needs three tables of one shape, and two nodes"),
      (5, "DPMSolverV3(1): the statistics hold a NaN or an infinity"),
      (6, "ModelStatistics(over: 1.0...1.0): needs a range of finite numbers with something in it"),
    ] as [(Int, String)])
  func refusals(_ index: Int, _ message: String) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [index] in
      let world = PlaneFlow.edm
      func run(_ statistics: ModelStatistics, order: Int = 1) {
        _ = DPMSolverV3Tests.end(order, statistics, world, TimeGrid([5, 0.1]))
      }
      switch index {
      case 0: run(.frame(.data, over: -3...3), order: 0)
      case 1: run(.frame(.data, over: -1...3))
      case 2: run(ModelStatistics(l: .zeros([2, 3]), a: .zeros([2, 3]), b: .zeros([2, 3]), over: -3...3))
      case 3: run(ModelStatistics(l: .zeros([1]), a: .zeros([1]), b: .zeros([1]), over: -3...3))
      case 4: run(ModelStatistics(l: .zeros([3]), a: .zeros([3]), b: .zeros([2]), over: -3...3))
      case 5: run(ModelStatistics(l: .zeros([3]), a: .zeros([3]), b: .full([3], .nan), over: -3...3))
      default: run(.frame(.data, over: 1...1))
      }
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text.contains(message), "\(text)")
  }
}
