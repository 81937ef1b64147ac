import Scorefield
import ScorefieldTestSupport
import Testing

/// The gradient of a loss of the end of a path, against differentiation through all of it.
@Suite struct AdjointTests {
  /// Every method of the house, with memory and without, with noise and without.
  static let solvers: [(name: String, solver: any Solver<any Denoiser>)] = [
    ("ddim", DDIM()), ("euler", RungeKutta.euler.alongProbabilityFlow), ("heun", RungeKutta.heun.alongProbabilityFlow),
    ("rk4", RungeKutta.rk4.alongProbabilityFlow), ("deis-1", .deis(1)), ("deis-3", .deis(3, start: .singleStep)),
    ("dpm-solver-2", .dpmSolver2), ("dpm-solver-3", .dpmSolver3), ("dpm-solver++-2s", .dpmSolverPlusPlus2S),
    ("dpm-solver++-2m", .dpmSolverPlusPlus2M), ("dpm-solver++-3m", .dpmSolverPlusPlus3M),
    ("dpm-solver++-3s", .dpmSolverPlusPlus3S), ("unipc-2", .uniPC(2)), ("unipc-3", .uniPC(3)), ("pndm", .pndm),
    ("ipndm", .ipndm), ("edm-heun", .edmHeun), ("edict", .edict), ("bdia", .bdia), ("belm", .belm),
    ("heun-lambda", .heunInHalfLogSNR), ("exponential-heun", .exponentialHeun),
    ("dpm-solver-v3-2", DPMSolverV3(2, statistics)),
    ("ddim, η = 1", StochasticDDIM(eta: 1, noise: .seed(3))),
  ]

  /// Of each dimension its own.
  private static let statistics = ModelStatistics(over: -8...8, nodes: 401) { lambda in
    let l = 1 / (1 + (2 * (lambda + Tensor([0.2, -0.5, 0]))).exp())
    return (l, -0.4 + 0.1 * l, 0.2 * l)
  }
  private static let points = SplitMix(seed: 31).symmetric([9, 3])
  private static let start = SplitMix(seed: 32).unit([4, 3])
  private static let target = SplitMix(seed: 33).symmetric([3])

  private func loss(_ x: Tensor) -> Tensor { (x - Self.target).squared().sum(-1) + (2 * x).sin().sum(-1) }

  private func run(
    _ solver: some Solver<any Denoiser>, _ model: any Denoiser, _ grid: TimeGrid, _ x: Tensor, _ final: Bool
  ) -> Tensor {
    let end = integrate(x, along: grid, with: solver, in: model)
    return final ? model.denoise(end, at: grid.last) : end
  }

  @Test(
    "Spec: F5 with the VJP the adjoint is the gradient through the whole sampler, for every solver and schedule",
    arguments: solvers.map(\.name))
  func autograd(name: String) throws {
    let solver = Self.solvers.first { $0.name == name }!.solver
    for schedule in ["vp", "edm", "flow"] {
      let field = EmpiricalDenoiser(data: Self.points, on: NamedSchedule.named(schedule))
      let grid = TimeGrid.uniformHalfLogSNR(
        7, over: field.schedule, from: field.schedule.time(atNoiseToSignal: 3),
        to: field.schedule.time(atNoiseToSignal: 0.2))
      for final in [true, false] {
        let x = field.schedule.kernel(at: grid.first).sigma * Self.start
        let found = adjointGradient(
          at: x, under: field, fisher: VJPFisher(field), stepping: solver, along: grid, finalDenoise: final, of: loss)
        let whole = valueAndGradient(at: x) { loss(run(solver, field, grid, $0, final)).sum() }
        expectClose(found.gradient, whole.gradient, within: 1e-10, "\(name) \(schedule)")
        expectClose(found.loss.sum(), whole.value, within: 1e-12)
        expectClose(found.endpoint, run(solver, field, grid, x, final), within: 1e-13)
        // The exact Fisher is the same of an exact field.
        let exact = adjointGradient(
          at: x, under: field, fisher: ExactFisher(field), stepping: solver, along: grid, finalDenoise: final, of: loss)
        expectClose(exact.gradient, whole.gradient, within: 1e-9, "\(name) \(schedule)")
        #expect(exact.products == found.products && found.products >= 7 + (final ? 1 : 0))
      }
    }
  }

  @Test("Spec: F5 products on the way back may stand on the end, its loss and how far it is from being gone")
  func ends() {
    let field = EmpiricalDenoiser(data: Self.points, on: .edm)
    let grid = TimeGrid.karras(5, over: .edm, from: 5, to: 0.1)
    var seen: PathEnd?
    let found = adjointGradient(
      at: 5 * Self.start, under: field,
      fisher: { end in
        seen = end
        return FiniteDifferenceFisher.secant(field, upTo: end.distance)
      }, stepping: DDIM(), along: grid, of: { 3 * ($0 - Self.target).squared().sum(-1).sqrt() })
    let end = seen!
    expectClose(end.endpoint, found.endpoint, within: 0)
    expectClose(end.loss, found.loss, within: 0)
    let offset = found.endpoint - Self.target
    expectClose(end.gradient, 3 * offset / offset.norm(-1, keeping: true), within: 1e-12)
    // The loss is a distance itself.
    expectClose(end.distance, offset.norm(-1), within: 1e-12)
  }

  @Test("longest steps for another batch stop with both shapes")
  func longest() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let field = EmpiricalDenoiser(data: Tensor.ones([2, 3]), on: .edm)
      _ = FiniteDifferenceFisher.secant(field, upTo: .ones([4])).fisher(at: .ones([2, 3]), time: 1)
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(
      words.contains("FiniteDifferenceFisher.fisher(at: [2, 3]): the longest steps are [4]; needs [2]"), "\(words)")
  }

  @Test("Spec: F5 the exact field's gradient is that of finite differences to 1e-8")
  func differences() {
    let field = EmpiricalDenoiser(data: Self.points, on: .edm)
    let grid = TimeGrid.karras(12, over: .edm, from: 5, to: 0.1)
    let x = 5 * Self.start
    let found = adjointGradient(
      at: x, under: field, fisher: ExactFisher(field), stepping: DDIM(), along: grid, of: loss)
    let v = SplitMix(seed: 35).unit([4, 3])
    func at(_ h: Double) -> Tensor { loss(run(DDIM(), field, grid, x + h * v, true)) }
    let h = 2e-3
    // Richardson's, of order four.
    let slope = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    #expect((found.gradient.dot(v) - slope).abs().max().item < 1e-8 * found.gradient.norm(-1).max().item)
  }

  @Test(
    "Spec: F5 what a model is told has its gradient too, on short paths and on those that are walked twice",
    arguments: [5, 23])
  func condition(_ steps: Int) {
    var generator = Generator(seed: 1)
    let small = MLP(MLP.Configuration(dimension: 3, width: 16, depth: 2, conditionWidth: 2), using: &generator)
    let network = small.replacing(parameters: small.parameters.map { $0.to(.float64) })
    func model(_ condition: Tensor) -> NetworkDenoiser {
      NetworkDenoiser(network, .edm(sigmaData: 0.5), on: .edm, condition: condition)
    }
    let grid = TimeGrid.karras(steps, over: .edm, from: 10, to: 0.05)
    let x = 10 * Self.start
    for condition in [SplitMix(seed: 41).unit([4, 2]), SplitMix(seed: 42).unit([1, 2])] {
      for solver in [DDIM() as any Solver<any Denoiser>, RungeKutta.heun.alongProbabilityFlow, .dpmSolverPlusPlus2M] {
        func found(_ solver: some Solver<any Denoiser>) -> (path: AdjointGradient, condition: Tensor) {
          adjointGradient(
            at: x, condition: condition, of: model, fisher: { VJPFisher($0) }, stepping: solver, along: grid, of: loss)
        }
        let (path, slope) = found(solver)
        let whole = gradient(at: condition) { loss(run(solver, model($0), grid, x, true)).sum() }
        expectClose(slope, whole, within: 1e-10)
        expectClose(
          path.gradient, gradient(at: x) { loss(run(solver, model(condition), grid, $0, true)).sum() }, within: 1e-10)
      }
    }
  }

  @Test("Spec: F5 a network's adjoint is autograd's to 1e-5 in float32, and its JVP is not its transpose")
  func network() {
    var generator = Generator(seed: 1)
    let network = MLP(MLP.Configuration(dimension: 3, width: 32, depth: 2), using: &generator)
    let model = NetworkDenoiser(network, .edm(sigmaData: 0.5), on: .edm)
    let grid = TimeGrid.karras(10, over: .edm, from: 10, to: 0.05)
    let x = (10 * Self.start).to(.float32)
    func loss(_ x: Tensor) -> Tensor { (x - Self.target.to(.float32)).squared().sum(-1) }
    let whole = gradient(at: x) { loss(run(RungeKutta.heun.alongProbabilityFlow, model, grid, $0, true)).sum() }
    let found = adjointGradient(
      at: x, under: model, fisher: VJPFisher(model), stepping: RungeKutta.heun.alongProbabilityFlow, along: grid,
      of: loss)
    expectClose(found.gradient, whole, within: 1e-5)
    let forward = adjointGradient(
      at: x, under: model, fisher: JVPFisher(model), stepping: RungeKutta.heun.alongProbabilityFlow, along: grid,
      of: loss)
    #expect(relativeError(forward.gradient, whole) > 1e-4)
  }

  @Test("a solver that differentiates the model itself is refused by name")
  func differentiating() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let field = EmpiricalDenoiser(data: Tensor(rows: [[0, 1], [1, 0]]), on: .edm)
      _ = adjointGradient(
        at: Tensor(rows: [[1, 2]]), under: field, fisher: ExactFisher(field),
        stepping: ExponentialTaylor(.noise, order: 2),
        along: TimeGrid([2, 1]), of: { $0.sum(-1) })
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(
      words.contains("adjointGradient(stepping: ExponentialTaylor): the solver differentiates the model itself"),
      "\(words)")
  }

  @Test("a loss of the wrong shape stops with what it gave")
  func wrongLoss() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let field = EmpiricalDenoiser(data: Tensor(rows: [[0, 1], [1, 0]]), on: .edm)
      _ = adjointGradient(
        at: Tensor(rows: [[1, 2]]), under: field, fisher: ExactFisher(field), stepping: DDIM(),
        along: TimeGrid([2, 1]), of: { $0.squared() })
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(words.contains("the loss has shape [1, 2]; needs one number per sample, [1]"))
  }
}

@Suite struct PredictedEndpointTests {
  @Test(
    "Spec: F5 the predicted endpoint is where the flow leads, and the form is that of this endpoint",
    arguments: [true, false])
  func endpoint(isCentred: Bool) {
    let field = EmpiricalDenoiser(data: SplitMix(seed: 61).symmetric([9, 3]), on: .edm)
    let (x, v) = (SplitMix(seed: 62).unit([4, 3]), SplitMix(seed: 63).unit([4, 3]))
    let form = isCentred ? EndpointFisher.Form.centred : .printed
    let access = PredictedEndpointFisher(field, form: form, steps: 60)
    let end = access.endpoint(of: x, at: 0.7)
    // Sixty steps of order one, all down to a data point.
    expectClose(end, decode(x, under: field, from: 0.7, to: 1e-4).points, within: 0.02)
    expectClose(
      access.fisher(at: x, time: 0.7).matvec(v),
      EndpointFisher(field, endpoint: end, form: form).fisher(at: x, time: 0.7).matvec(v), within: 1e-14)
  }
}
