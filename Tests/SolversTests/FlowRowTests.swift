import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// What solvers rely on: the flow, its forms and the classical methods.
@Suite struct FlowRowTests {
  @Test("Spec: C9.1c the squared noise is bounded by the dimension, where the squared score is not")
  func bounded() throws {
    func squares(_ variances: [Double], at sigma: Double) throws -> (noise: Double, score: Double) {
      let field = GaussianMixtureDenoiser(
        try GaussianMixture(
          means: Tensor(rows: [[0.3, -0.2]]), standardDeviations: Tensor(rows: [variances.map { $0.squareRoot() }])),
        on: .edm)
      // The mean of a square over a Gaussian, from its sigma points.
      let points = variances.indices.flatMap { i in
        [-1.0, 1].map { sign -> [Double] in
          var x = [0.3, -0.2]
          x[i] += sign * (2 * (variances[i] + sigma * sigma)).squareRoot()
          return x
        }
      }
      let x = Tensor(rows: points)
      return (
        field.noise(x, at: sigma).squared().sum(-1).mean().item, field.score(x, at: sigma).squared().sum(-1).mean().item
      )
    }
    for sigma in [0.1, 1, 10] {
      let expected = [2.0, 0.5].reduce(0) { $0 + sigma * sigma / ($1 + sigma * sigma) }
      let found = try squares([2, 0.5], at: sigma)
      #expect(abs(found.noise - expected) < 1e-12 && expected < 2)
      #expect(abs(found.score * sigma * sigma - expected) < 1e-12)
    }
    // A line in the plane: across it the noise stays, and the score grows with 1/σ.
    let (a, b) = (try squares([2, 0], at: 8e-4), try squares([2, 0], at: 2e-4))
    #expect(abs(b.noise - 1) < 1e-6)
    #expect(abs(log(b.score / a.score) / log(4) - 2) < 0.02)
  }

  @Test("Spec: C9.1c the squared noise is that of its prediction and that of what is left")
  func orthogonal() {
    let world = PlaneFlow.vp
    let kernel = world.schedule.kernel(at: 0.3)
    var generator = Generator(seed: 7)
    // Draws of the mixture: a component, its Cholesky factor and two normal numbers.
    let count = 20_000
    let means = [[2.0, 0], [-1, 1.5], [-0.5, -2]]
    func factor(_ a: Double, _ b: Double, _ c: Double) -> [Double] {
      [a.squareRoot(), b / a.squareRoot(), (c - b * b / a).squareRoot()]
    }
    let factors = [factor(0.3, 0.1, 0.2), factor(0.2, -0.05, 0.4), factor(0.25, 0, 0.15)]
    let (normal, choice) = (
      Tensor.normal([count, 2], using: &generator).doubles, Tensor.uniform([count], using: &generator).doubles
    )
    let data = (0..<count).map { i -> [Double] in
      let k = choice[i] < 0.5 ? 0 : (choice[i] < 0.8 ? 1 : 2)
      let (a, b) = (normal[2 * i], normal[2 * i + 1])
      return [means[k][0] + factors[k][0] * a, means[k][1] + factors[k][1] * a + factors[k][2] * b]
    }
    let noise = Tensor.normal([count, 2], using: &generator)
    let predicted = world.denoiser.noise(kernel.alpha * Tensor(rows: data) + kernel.sigma * noise, at: 0.3)
    let gap = noise.squared().sum(-1) - predicted.squared().sum(-1) - (noise - predicted).squared().sum(-1)
    let error = gap.standardDeviation().item / Double(count).squareRoot()
    #expect(abs(gap.mean().item) < 4 * error, "\(gap.mean().item) ± \(error)")
  }

  @Test("Spec: C9.2d the mixture's velocity is the printed one, and DDIM's conditional map its flow for one point")
  func conditional() {
    let world = PlaneFlow.vp
    let velocity = ProbabilityFlow(world.denoiser).velocity(Tensor(rows: [[0.5, -0.25]]), at: 0.3)
    for (a, b) in zip(velocity.doubles, [-2.859997544668, 0.188595627224]) { #expect(abs(a - b) < 1e-10) }

    let point = EmpiricalDenoiser(data: Tensor(rows: [[0.7, -1.1]]), on: world.schedule)
    let x = Tensor(rows: [[0.5, -0.25], [2, 1]])
    func map(_ s: Double, _ t: Double, _ x: Tensor) -> Tensor {
      integrate(x, along: TimeGrid([s, t]), with: .ddim, in: point)
    }
    expectClose(map(0.5, 0.2, map(0.8, 0.5, x)), map(0.8, 0.2, x), within: 1e-13)
    let slope = (map(0.8, 0.8 + 1e-4, x) - map(0.8, 0.8 - 1e-4, x)) / 2e-4
    expectClose(slope, ProbabilityFlow(point).velocity(x, at: 0.8), within: 1e-7)
  }

  @Test("Spec: C9.2d regressing conditional velocities gives the flow's own, to sampling error")
  func regression() throws {
    let (world, t) = (LineFlow.gauss(on: .variancePreserving), 0.4)
    let kernel = world.schedule.kernel(at: t)
    var generator = Generator(seed: 5)
    let data = 0.7 + 1.3 * Tensor.normal([1_000_000], using: &generator)
    let noise = Tensor.normal([1_000_000], using: &generator)
    let x = kernel.alpha * data + kernel.sigma * noise
    let target = kernel.alphaRate * data + kernel.sigmaRate * noise
    let (dx, dy) = (x - x.mean(), target - target.mean())
    let slope = ((dx * dy).mean() / dx.squared().mean()).item
    let values = ProbabilityFlow(try world.denoiser()).velocity(Tensor(rows: [[0], [1]]), at: t).doubles
    #expect(abs(slope - (values[1] - values[0])) < 1e-2)
    #expect(abs(target.mean().item - slope * x.mean().item - values[0]) < 1e-2)
  }

  @Test("Spec: C9.4a C9.5a the exact solutions of both frames hold along the mixture's flow", arguments: PlaneFlow.all)
  func exactSolutions(_ world: PlaneFlow) {
    let grid = world.halfLogSNRGrid(1000)
    let states = world.states(grid)
    let kernels = world.schedule.kernels(at: grid.times)
    let (first, last) = (kernels[0], kernels[1000])
    let h = (last.halfLogSNR - first.halfLogSNR) / 1000
    // Simpson's rule in λ.
    var (data, noise) = (Tensor.zeros(like: states[0]), Tensor.zeros(like: states[0]))
    for (i, (x, k)) in zip(states, kernels).enumerated() {
      let weight = h / 3 * (i == 0 || i == 1000 ? 1 : (i % 2 == 1 ? 4 : 2))
      data += (weight * k.alpha / k.sigma) * world.denoiser.denoise(x, at: k.time)
      noise += (weight * k.sigma / k.alpha) * world.denoiser.noise(x, at: k.time)
    }
    #expect(distance((last.sigma / first.sigma) * states[0] + last.sigma * data, states[1000]) < 1e-9)
    #expect(distance((last.alpha / first.alpha) * states[0] - last.alpha * noise, states[1000]) < 1e-9)
  }

  @Test(
    "Spec: C9.1a the flow of a Gaussian is what it is in closed form, at once and in two parts",
    arguments: PlaneFlow.all)
  func semigroup(_ world: PlaneFlow) throws {
    let (mean, variances) = ([0.3, -0.2], [1.4, 0.5])
    let field = GaussianMixtureDenoiser(
      try GaussianMixture(
        means: Tensor(rows: [mean]), standardDeviations: Tensor(rows: [variances.map { $0.squareRoot() }])),
      on: world.schedule)
    func flow(_ x: Tensor, _ from: Double, _ to: Double) -> Tensor {
      let solver = Adaptive(.dormandPrince, StepController(rtol: 1e-14, atol: 1e-14, norm: .maximum))
      return integrate(x, along: TimeGrid([from, to]), with: solver, in: ProbabilityFlow(field))
    }
    func exact(_ x: Tensor, _ from: Double, _ to: Double) -> Tensor {
      let (a, b) = (world.schedule.kernel(at: from), world.schedule.kernel(at: to))
      let stretch = variances.map {
        ((b.alpha * b.alpha * $0 + b.sigma * b.sigma) / (a.alpha * a.alpha * $0 + a.sigma * a.sigma)).squareRoot()
      }
      return b.alpha * Tensor(rows: [mean]) + Tensor(rows: [stretch]) * (x - a.alpha * Tensor(rows: [mean]))
    }
    let middle = world.schedule.time(atHalfLogSNR: 0.2)
    for (from, to) in [(world.from, world.to), (world.to, world.from)] {
      let whole = exact(world.start, from, to)
      let parts = flow(flow(world.start, from, middle), middle, to)
      #expect(distance(exact(exact(world.start, from, middle), middle, to), whole) < 1e-12)
      #expect(distance(flow(world.start, from, to), whole) < 1e-12 * max(1, whole.abs().max().item))
      #expect(distance(parts, whole) < 1e-12 * max(1, whole.abs().max().item))
    }
  }

  @Test(
    "Spec: C9.4a the time of a half log-SNR is found again, and time falls with it, at 10,000 points",
    arguments: ["vp", "flow", "edm", "trig", "subvp", "ve", "ve-geometric"])
  func inverse(_ name: String) throws {
    let schedule = try ScheduleDescription(name).schedule()
    let range = schedule.timeRange
    let times = (0..<10_000).map { i in
      let share = (Double(i) + 0.5) / 10_000
      // Densely near the data on a schedule whose time is its noise level.
      return range.lowerBound > 0 && name != "flow" && name != "trig"
        ? range.lowerBound * pow(range.upperBound / range.lowerBound, share)
        : range.lowerBound + share * (range.upperBound - range.lowerBound)
    }
    let lambdas = times.map { schedule.kernel(at: $0).halfLogSNR }
    #expect(zip(lambdas, lambdas.dropFirst()).allSatisfy { $0 > $1 })
    let worst = zip(times, lambdas).map { abs(schedule.time(atHalfLogSNR: $1) - $0) }.max()!
    #expect(worst < 1e-12 * max(1, range.upperBound), "\(worst)")
  }

  @Test(
    "Spec: C9.4a between the steps of a table the time of a half log-SNR is found again",
    arguments: ["scaled-linear", "ddpm-linear", "ddpm-cosine"])
  func tabulatedInverse(_ name: String) throws {
    let schedule = try ScheduleDescription(name).schedule()
    let times = (0..<10_000).map { 999 * (Double($0) + 0.5) / 10_000 }
    let lambdas = times.map { schedule.kernel(at: $0).halfLogSNR }
    #expect(zip(lambdas, lambdas.dropFirst()).allSatisfy { $0 > $1 })
    #expect(zip(times, lambdas).allSatisfy { abs(schedule.time(atHalfLogSNR: $1) - $0) < 1e-8 })
  }

  @Test("Spec: C9.4a a trajectory is the same curve whether it is solved in time or in λ", arguments: PlaneFlow.all)
  func invariance(_ world: PlaneFlow) {
    let (fine, every) = (world.halfLogSNRGrid(800), 80)
    let inLambda = Trajectory(
      from: world.start, along: fine, with: HalfLogSNRRungeKutta(RungeKutta.rk4.tableau), in: world.denoiser
    ).map(\.state)
    let coarse = TimeGrid(stride(from: 0, through: 800, by: every).map { fine.times[$0] })
    for (i, state) in world.states(coarse).enumerated() { #expect(distance(state, inLambda[i * every]) < 1e-9) }
  }

  @Test("Spec: C9.4a equal steps in λ are a geometric grid on edm, and t (1 − t) Δλ long on flow")
  func grids() {
    let times = PlaneFlow.edm.halfLogSNRGrid(20).times
    let ratios = zip(times, times.dropFirst()).map { $1 / $0 }
    #expect(ratios.allSatisfy { abs($0 / ratios[0] - 1) < 1e-13 })
    let fine = PlaneFlow.flow.halfLogSNRGrid(2000).times
    let step = 2 * 2.9444389791664403 / 2000
    for (a, b) in zip(fine, fine.dropFirst()) {
      let middle = 0.5 * (a + b)
      #expect(abs((a - b) / (middle * (1 - middle) * step) - 1) < 1e-5)
    }
  }

  @Test("Spec: C9.4a E21 a grid of λ cannot end where there is no noise, and says so")
  func infinite() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = TimeGrid.uniformHalfLogSNR(10, over: SolverLaws.WholeLine())
    }
    let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(
      message.contains(
        "TimeGrid(from: 1.0, to: 0.0): no noise or no data is left at an end, which no step in σ/α reaches"))
  }

  // MARK: Classical methods

  /// `dx/dt = x cos t`.
  struct Swing: VelocityField {
    func velocity(_ x: Tensor, at t: Double) -> Tensor { x * cos(t) }
  }

  @Test(
    "Spec: CA.1 Euler, Heun and RK4 have orders 1, 2 and 4, and come back to that order",
    arguments: [(RungeKutta.euler, 1.0), (.heun, 2), (.rk4, 4)])
  func classical(_ solver: RungeKutta, _ order: Double) {
    func errors(_ end: (TimeGrid) -> Double) -> Double {
      let steps = [160, 320]
      return observedOrder(
        steps.map { n in (steps: n, error: end(TimeGrid((0...n).map { 3 * Double($0) / Double(n) }))) })
    }
    let x = Tensor(rows: [[0.8]])
    let there = errors { abs(integrate(x, along: $0, with: solver, in: Swing()).item - 0.8 * exp(sin(3))) }
    #expect(abs(there - order) < 0.05, "\(there)")
    let back = errors { grid in
      let end = integrate(x, along: grid, with: solver, in: Swing())
      return abs(integrate(end, along: grid.reversed, with: solver, in: Swing()).item - 0.8)
    }
    #expect(back > order - 0.05, "\(back)")
  }

  @Test("Spec: CA.1 Dormand and Prince's pair keeps nine digits on a Gaussian, and the order of points on a line")
  func pair() throws {
    let world = LineFlow.gauss(on: .variancePreserving)
    let control = StepController(rtol: 1e-9, atol: 1e-9)
    let points = (0..<50).map { -3 + 6 * Double($0) / 49 }
    let end = integrate(
      Tensor(points, shape: [50, 1]), from: 1, to: 1e-3, with: .dormandPrince, controller: control,
      in: ProbabilityFlow(try world.denoiser()))
    #expect(largestError(end.state, world.carry(points, from: 1, to: 1e-3)) < 1e-7)
    let mixture = integrate(
      Tensor(points, shape: [50, 1]), from: 1, to: 1e-3, with: .dormandPrince, controller: control,
      in: ProbabilityFlow(try LineFlow.mixture(on: .variancePreserving).denoiser())
    ).state.doubles
    #expect(zip(mixture, mixture.dropFirst()).allSatisfy { $0 < $1 })
  }

  @Test("Spec: CA.1 variation of constants holds for a semilinear equation")
  func variation() {
    // dx/dt = −2 x + sin t: x(1) = e^{−2} x₀ + ∫ e^{−2 (1 − τ)} sin τ dτ.
    let field = ExponentialToolTests.Forced(constant: -2) { sin($0) }
    let n = 1000
    let integral = (0...n).reduce(0.0) { sum, i in
      let tau = Double(i) / Double(n)
      return sum + (i == 0 || i == n ? 1 : (i % 2 == 1 ? 4 : 2)) * exp(-2 * (1 - tau)) * sin(tau) / Double(3 * n)
    }
    let end = integrate(
      Tensor(rows: [[0.8]]), from: 0, to: 1, with: .dormandPrince, controller: StepController(rtol: 1e-13, atol: 1e-13),
      in: field)
    #expect(abs(end.state.item - (0.8 * exp(-2) + integral)) < 1e-10)
  }
}
