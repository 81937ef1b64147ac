import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct AdaptiveTests {
  static let start = [-1.9, -0.6, 0.2, 1.1, 2.5]

  func run(
    _ solver: EmbeddedRungeKutta, _ rtol: Double, from: Double = 1, to: Double = 1e-3
  ) throws -> (error: Double, end: Integration) {
    let world = LineFlow.mixture(on: .variancePreserving)
    let end = integrate(
      Tensor(Self.start, shape: [5, 1]), from: from, to: to, with: solver,
      controller: StepController(rtol: rtol, atol: rtol), in: ProbabilityFlow(try world.denoiser()))
    return (largestError(end.state, world.carry(Self.start, from: from, to: to)), end)
  }

  @Test("Spec: F4 the error follows the tolerance, either way of time", arguments: [(1.0, 1e-3), (1e-3, 1.0)])
  func tolerance(_ from: Double, _ to: Double) throws {
    var last = 0
    for rtol in [1e-3, 1e-5, 1e-7, 1e-9] {
      let (error, end) = try run(.dormandPrince, rtol, from: from, to: to)
      #expect(end.outcome == .converged && end.time == to)
      #expect(error < 100 * rtol, "rtol \(rtol): error \(error)")
      // Six stages each, and the first slope once.
      #expect(end.statistics.evaluations == 6 * end.statistics.attempts + 1)
      #expect(end.statistics.accepted > last)
      last = end.statistics.accepted
    }
    // A fifth-order method: four digits cost less than 10^{4/5} times the steps, and more than half of that.
    let (few, many) = (try run(.dormandPrince, 1e-5).end.statistics, try run(.dormandPrince, 1e-9).end.statistics)
    let growth = Double(many.accepted) / Double(few.accepted)
    #expect(growth > 3 && growth < 8, "\(few) → \(many)")
  }

  @Test("the third-order pair keeps the tolerance too, with its own stages")
  func thirdOrder() throws {
    let (error, end) = try run(.bogackiShampine, 1e-5)
    #expect(error < 1e-3)
    #expect(end.statistics.evaluations == 3 * end.statistics.attempts + 1)
  }

  /// `dx/dt = f(t)`, whose solutions are known.
  struct Given: VelocityField {
    let rate: @Sendable (Tensor, Double) -> Tensor
    func velocity(_ x: Tensor, at t: Double) -> Tensor { rate(x, t) }
  }

  @Test(
    "the error estimate shrinks with one power more than its order",
    arguments: [
      (EmbeddedRungeKutta.dormandPrince, 5.0), (.bogackiShampine, 3.0),
    ])
  func estimate(_ solver: EmbeddedRungeKutta, _ power: Double) {
    let field = Given { x, t in -2 * t * x + .full([1, 1], Foundation.sin(t)) }
    let x = Tensor(rows: [[0.7]])
    let errors = [8, 16, 32].map { n in
      var memory = solver.makeMemory()
      let attempt = solver.attempt(x, from: 0.3, to: 0.3 + 1 / Double(n), in: field, memory: &memory)
      return (steps: n, error: abs(attempt.error.item))
    }
    let order = observedOrder(errors)
    #expect(abs(order - power) < 0.2, "observed \(order)")
    #expect(Double(solver.estimateOrder + 1) == power)
  }

  @Test("the next step follows from the last errors, within bounds")
  func factors() {
    let control = StepController(safety: 0.9, factors: 0.2...5)
    func factor(_ error: Double, _ previous: Double? = nil) -> Double {
      control.factor(after: error, previous: previous, order: 5)
    }
    #expect(factor(1) == 0.9)
    // 32^{0.7/5}, and with an error before it that was 32 times smaller, less by 32^{0.4/5}.
    #expect(abs(factor(1.0 / 32) - 0.9 * pow(2, 0.7)) < 1e-14)
    #expect(abs(factor(1, 1.0 / 32) - 0.9 * pow(2, -0.4)) < 1e-14)
    // Refused: 32^{−1/5}, whatever came before.
    #expect(abs(factor(32, 1e-3) - 0.45) < 1e-14)
    #expect(factor(0) == 5 && factor(1e9) == 0.2 && factor(.nan) == 0.2 && factor(.infinity) == 0.2)
    #expect(StepController(safety: 0.999, factors: 0.2...5).factor(after: 1.0001, previous: nil, order: 5) < 1)
  }

  @Test("every sample keeps the tolerance, whoever shares its batch")
  func batch() {
    // One sample in a hundred moves; a mean over the batch would be ten times as lenient.
    let field = Given { x, t in x * (10 * Foundation.cos(10 * t)) }
    var values = [Double](repeating: 0, count: 100)
    values[37] = 1
    let control = StepController(rtol: 1e-6, atol: 1e-6)
    let alone = integrate(
      Tensor(rows: [[1]]), from: 0, to: 1, with: .dormandPrince, controller: control, in: field)
    let shared = integrate(
      Tensor(values, shape: [100, 1]), from: 0, to: 1, with: .dormandPrince, controller: control, in: field)
    #expect(alone.statistics == shared.statistics)
    #expect(abs(alone.state.item - exp(Foundation.sin(10))) < 1e-5)
  }

  @Test("the largest element counts where the norm says so")
  func norm() {
    let field = Given { x, t in x * (10 * Foundation.cos(10 * t)) }
    var values = [Double](repeating: 0, count: 100)
    values[37] = 1
    let x = Tensor(values, shape: [1, 100])
    func error(_ norm: StepController.Norm) -> Double {
      let end = integrate(
        x, from: 0, to: 1, with: .dormandPrince, controller: StepController(rtol: 1e-6, atol: 1e-6, norm: norm),
        in: field)
      return abs(end.state.max().item - exp(Foundation.sin(10)))
    }
    #expect(error(.maximum) < 1e-6)
    #expect(error(.rootMeanSquare) > 2 * error(.maximum))
  }

  @Test("too few steps are an outcome, and say how far they came")
  func stepLimit() throws {
    let world = LineFlow.mixture(on: .variancePreserving)
    let end = integrate(
      Tensor(rows: [[0.3]]), from: 1, to: 1e-3, with: .dormandPrince,
      controller: StepController(rtol: 1e-10, atol: 1e-10, stepLimit: 5), in: ProbabilityFlow(try world.denoiser()))
    #expect(end.outcome == .stepLimit)
    #expect(end.statistics.attempts == 5)
    #expect(end.time < 1 && end.time > 1e-3 && end.state.isFinite().all())
  }

  @Test("a singularity is an outcome, and no step past it is taken")
  func singularity() {
    // x = 1/(1 − t) has no value at 1.
    let end = integrate(
      Tensor(rows: [[1]]), from: 0, to: 2, with: .dormandPrince, controller: StepController(stepLimit: 100_000),
      in: Given { x, _ in x * x })
    #expect(end.outcome != .converged)
    #expect(end.time < 1 + 1e-4 && end.state.isFinite().all())
  }

  @Test(
    "no step is taken into what is no number, and the state before it is kept",
    arguments: [
      Double.nan, .infinity, -.infinity,
    ])
  func notFinite(_ bad: Double) {
    let field = Given { x, t in t > 0.5 ? .full(x.shape, bad) : -x }
    let end = integrate(Tensor(rows: [[1], [2]]), from: 0, to: 1, with: .dormandPrince, in: field)
    #expect(end.outcome == .notFinite)
    #expect(end.time <= 0.5 && end.time > 0.4)
    expectClose(end.state, Tensor(rows: [[1], [2]]) * exp(-end.time), within: 1e-4)
  }

  @Test("an overflow whose error looks small beside it is refused")
  func overflow() {
    let field = Given { x, _ in .full(x.shape, 1e308) }
    let end = integrate(
      Tensor(rows: [[1e308]]), from: 0, to: 10, with: .dormandPrince,
      controller: StepController(rtol: 1, atol: 1, firstStep: 1), in: field)
    #expect(end.outcome == .notFinite && end.state.isFinite().all())
  }

  @Test("a start that is no number is an outcome")
  func notFiniteStart() {
    let end = integrate(Tensor(rows: [[.nan]]), from: 0, to: 1, with: .dormandPrince, in: Given { x, _ in -x })
    #expect(end.outcome == .notFinite && end.time == 0)
  }

  @Test("along a grid the steps go on where the last interval ended, and its nodes are met")
  func grid() throws {
    let world = LineFlow.mixture(on: .variancePreserving)
    let flow = ProbabilityFlow(try world.denoiser())
    let solver = Adaptive(.dormandPrince, StepController(rtol: 1e-8, atol: 1e-8))
    let grid = TimeGrid.uniform(4, over: world.schedule, from: 1, to: 0.2)
    var points = Trajectory(from: Tensor(Self.start, shape: [5, 1]), along: grid, with: solver, in: flow).makeIterator()
    while let point = points.next() {
      #expect(largestError(point.state, world.carry(Self.start, from: 1, to: point.time)) < 1e-6)
    }
    #expect(points.outcome == .converged)

    var memory = solver.makeMemory()
    var x = Tensor(Self.start, shape: [5, 1])
    for (t, s) in zip(grid.times, grid.times.dropFirst()) {
      x = solver.step(x, from: t, to: s, in: flow, memory: &memory)
    }
    let whole = integrate(
      Tensor(Self.start, shape: [5, 1]), from: 1, to: 0.2, with: .dormandPrince, controller: solver.controller, in: flow
    )
    #expect(memory.statistics.attempts <= whole.statistics.attempts + 6)
    #expect(memory.statistics.evaluations == 6 * memory.statistics.attempts + 1)
  }

  @Test("after a failure further steps do nothing")
  func failed() {
    let solver = Adaptive(.dormandPrince, StepController(stepLimit: 0))
    var memory = solver.makeMemory()
    let x = Tensor(rows: [[1]])
    let field = Given { x, _ in -x }
    let first = solver.step(x, from: 0, to: 1, in: field, memory: &memory)
    let second = solver.step(first, from: 1, to: 2, in: field, memory: &memory)
    #expect(second.item == 1 && memory.outcome == .stepLimit && memory.statistics.evaluations == 0)
  }
}
