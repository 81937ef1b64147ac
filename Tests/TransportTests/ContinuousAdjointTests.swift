import Scorefield
import ScorefieldTestSupport
import Testing

/// The gradient of a loss of the flow's end, against differences of the flow and the limit of discrete adjoints.
@Suite struct ContinuousAdjointTests {
  static let schedules = ["vp", "edm", "flow"]

  private let target = Tensor([0.4, -0.3])
  private func loss(_ x: Tensor) -> Tensor { (x - target).squared().sum(-1) + (2 * x).sin().sum(-1) }

  private func world(_ name: String) throws -> (field: GaussianMixtureDenoiser, x: Tensor, from: Double, to: Double) {
    let schedule = NamedSchedule.named(name)
    let from = schedule.time(atNoiseToSignal: 3)
    return (
      GaussianMixtureDenoiser(try Fixture.mixture2D(), on: schedule),
      schedule.kernel(at: from).sigma * SplitMix(seed: 81).unit([5, 2]), from, schedule.time(atNoiseToSignal: 0.15)
    )
  }

  @Test("Spec: F5 the continuous adjoint is the slope of the flow's loss, within its error", arguments: schedules)
  func slope(_ name: String) throws {
    let (field, x, from, to) = try world(name)
    let accuracy = FlowAccuracy(rtol: 1e-10)
    let found = continuousAdjoint(
      at: x, under: field, fisher: ExactFisher(field), from: from, to: to, accuracy: accuracy, of: loss)
    #expect(found.outcome == .converged && found.evaluations > 0)
    expectClose(found.loss, loss(found.endpoint), within: 1e-12)
    func after(_ x: Tensor) -> Tensor {
      loss(
        integrate(
          x, from: from, to: to, with: .dormandPrince, controller: StepController(rtol: 1e-12, atol: 1e-13),
          in: ProbabilityFlow(field)
        ).state)
    }
    for seed in [82, 83] {
      let v = SplitMix(seed: seed).unit([5, 2])
      func middle(_ h: Double) -> Tensor { (after(x + h * v) - after(x - h * v)) / (2 * h) }
      let slope = (4 * middle(1e-3) - middle(2e-3)) / 3
      expectClose((found.gradient * v).sum(-1), slope, within: 1e-8, "\(name)")
    }
    // At the default tolerance it is as far off as it says, or nearer.
    let usual = continuousAdjoint(at: x, under: field, fisher: ExactFisher(field), from: from, to: to, of: loss)
    let miss = (usual.gradient - found.gradient).abs()
    #expect((miss .<= usual.gradientError + 1e-9).all() && usual.gradientError.max().item < 1e-4, "\(miss)")
    let vjp = continuousAdjoint(
      at: x, under: field, fisher: VJPFisher(field), from: from, to: to, accuracy: accuracy, of: loss)
    expectClose(vjp.gradient, found.gradient, within: 1e-8)
  }

  @Test("Spec: F5 discrete adjoints come to it as their steps shrink, in their own order")
  func limit() throws {
    let (field, x, from, to) = try world("edm")
    let truth = continuousAdjoint(
      at: x, under: field, fisher: ExactFisher(field), from: from, to: to, accuracy: FlowAccuracy(rtol: 1e-10), of: loss
    ).gradient
    func error(_ solver: some Solver<any Denoiser>, _ steps: Int) -> Double {
      let grid = TimeGrid.uniformHalfLogSNR(steps, over: field.schedule, from: from, to: to)
      let found = adjointGradient(
        at: x, under: field, fisher: ExactFisher(field), stepping: solver, along: grid, finalDenoise: false, of: loss)
      return (found.gradient - truth).abs().max().item
    }
    let ddim = [200, 400].map { error(DDIM(), $0) }
    let heun = [100, 200].map { error(RungeKutta.heun.alongProbabilityFlow, $0) }
    let rk4 = [50, 100].map { error(RungeKutta.rk4.alongProbabilityFlow, $0) }
    #expect(ddim[0] / ddim[1] > 1.8 && heun[0] / heun[1] > 3.5 && rk4[0] / rk4[1] > 12, "\(ddim) \(heun) \(rk4)")
    #expect(rk4[1] < 1e-5)
  }

  struct Refusal: Error, Equatable {}

  @Test("what the loss throws comes through, and an integration that stops says so")
  func stops() throws {
    let (field, x, from, to) = try world("vp")
    #expect(throws: Refusal()) {
      try continuousAdjoint(at: x, under: field, fisher: ExactFisher(field), from: from, to: to) { x throws(Refusal) in
        if x.batch > 0 { throw Refusal() }
        return x.sum(-1)
      }
    }
    let cut = continuousAdjoint(
      at: x, under: field, fisher: ExactFisher(field), from: from, to: to,
      accuracy: FlowAccuracy(rtol: 1e-7, stepLimit: 1), of: loss)
    #expect(cut.outcome == .stepLimit && cut.loss.isNaN().all() && cut.gradient.isNaN().all())
  }

  @Test("a loss of the wrong shape stops with both shapes")
  func shape() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let field = EmpiricalDenoiser(data: Fixture.points, on: .edm)
      _ = continuousAdjoint(
        at: Tensor.ones([3, 2]), under: field, fisher: ExactFisher(field), from: 2, to: 1, of: { $0 })
    }
    expectWords(
      "continuousAdjoint(of: loss): the loss has shape [3, 2]; needs one number per sample, [3]", result)
  }
}
