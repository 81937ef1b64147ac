import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// What DPM-Solver-v3 is told of a model, and how it is measured.
@Suite struct ModelStatisticsTests {
  @Test("Spec: C9.7a statistics of Gaussian data are their closed form")
  func gaussian() throws {
    let gaussian = DPMSolverV3Tests.Gaussian()
    let world = PlaneFlow.vp
    let denoiser = try gaussian.denoiser(on: world.schedule)
    var measurement = StatisticsMeasurement(
      of: denoiser, fisher: ExactFisher(denoiser), from: world.from, to: world.to, nodes: 241)
    measurement.add(world.schedule.sigma(world.from) * SplitMix(seed: 1).unit([16, 3]))
    let found = measurement.statistics
    let expected = gaussian.statistics(over: found.halfLogSNRs, nodes: 241)
    #expect(
      found.halfLogSNRs == world.schedule.kernel(at: world.from)
        .halfLogSNR...world.schedule.kernel(at: world.to).halfLogSNR)
    #expect(distance(found.l, expected.l) < 1e-12)
    #expect(found.a.isIdentical(to: .zeros([241, 3])))
    #expect(distance(found.b, expected.b) < 1e-6)
    #expect(measurement.trajectories == 16)
  }

  @Test("Spec: C9.7a between the ends of a schedule, where differences go to one side, they are too")
  func wholeRange() throws {
    let gaussian = DPMSolverV3Tests.Gaussian()
    for schedule in [FlowMatchingSchedule(), VariancePreserving()] as [any NoiseSchedule] {
      let denoiser = try gaussian.denoiser(on: schedule)
      let range = schedule.timeRange
      var measurement = StatisticsMeasurement(
        of: denoiser, fisher: ExactFisher(denoiser), from: range.upperBound, to: range.lowerBound, nodes: 801)
      measurement.add(SplitMix(seed: 1).unit([4, 3]))
      let found = measurement.statistics
      let expected = gaussian.statistics(over: found.halfLogSNRs, nodes: 801)
      #expect(distance(found.l, expected.l) < 1e-10)
      #expect(found.a.abs().max().item == 0)
      #expect(distance(found.b, expected.b) < 1e-5, "\(distance(found.b, expected.b))")
    }
  }

  /// `N` and `N'` of points at one node, `N'` by the engine's derivative along the state and a difference along time.
  static func remainders(
    _ x: Tensor, _ l: Tensor, _ rate: Tensor, _ kernel: PerturbationKernel, _ denoiser: any Denoiser
  ) -> (value: Tensor, rate: Tensor) {
    let (alpha, schedule) = (kernel.alpha, denoiser.schedule)
    let data = denoiser.denoise(x, at: kernel.time)
    let noise = (x - alpha * data) / kernel.sigma
    // dx/dλ, with dα/dλ of the schedule.
    let clock = -1 / kernel.logRatioRate
    let velocity = (clock * kernel.alphaRate / alpha) * x - kernel.sigma * noise
    func estimate(_ x: Tensor, _ change: Double) -> Tensor {
      let moved = schedule.kernel(at: schedule.time(atHalfLogSNR: kernel.halfLogSNR + change))
      return (x - moved.alpha * denoiser.denoise(x, at: moved.time)) / moved.sigma
    }
    let along = jvp(at: x, along: velocity) { x in (x - alpha * denoiser.denoise(x, at: kernel.time)) / kernel.sigma }
    let h = 1e-3
    let time = (8 * (estimate(x, h) - estimate(x, -h)) - (estimate(x, 2 * h) - estimate(x, -2 * h))) / (12 * h)
    let total = along.derivative + time
    let scale = exp(-kernel.halfLogSNR)
    let y = x / alpha
    return (scale * noise - l * y, scale * (total + (l - 1) * noise) - rate * y)
  }

  @Test("Spec: C9.7a other statistics make the squares larger that they are to make least")
  func optimal() {
    let world = PlaneFlow.vp
    let kernel = world.schedule.kernel(at: world.schedule.time(atHalfLogSNR: -0.5))
    let denoiser = world.denoiser
    var generator = Generator(seed: 5)
    let x = PlaneFlow.mixture.diffused(by: kernel).sample(64, using: &generator)
    // The first node's trajectories are their starts.
    var measurement = StatisticsMeasurement(
      of: denoiser, fisher: JVPFisher(denoiser), from: kernel.time, to: world.to, nodes: 41)
    measurement.add(x[..<20])
    measurement.add(x[20...])
    let found = measurement.statistics
    let spacing = (found.halfLogSNRs.upperBound - found.halfLogSNRs.lowerBound) / 40
    let slopes = LagrangeBasis([0, 1, 2, 3, 4]).coefficients.map { $0[1] / spacing }
    let rate = Tensor.combination(slopes.enumerated().map { ($1, found.l[$0]) })

    func spread(_ l: Tensor) -> Tensor {
      // diag ∂N/∂y = σ ∂ε̂/∂x − ℓ.
      let columns = (0..<2).map { i in
        let basis = Tensor.identity(2)[i].broadcast(to: x.shape)
        let noise = jvp(at: x, along: basis) { x in x - kernel.alpha * denoiser.denoise(x, at: kernel.time) }
        return noise.derivative[Axis.all, i]
      }
      return (Tensor.stacked(columns, 1) - l).squared().mean(0)
    }
    let (value, change) = Self.remainders(x, found.l[0], rate, kernel, denoiser)
    func residual(_ a: Tensor, _ b: Tensor) -> Tensor { (change - a * value - b).squared().mean(0) }
    let (l, a, b) = (found.l[0], found.a[0], found.b[0])
    for step in [-1e-3, 1e-3] {
      #expect((spread(l + step) .> spread(l)).all())
      #expect((residual(a + step, b) .> residual(a, b)).all())
      #expect((residual(a, b + step) .> residual(a, b)).all())
    }
    // The gradients vanish.
    func slope(_ objective: (Double) -> Tensor) -> Double { distance(objective(1e-3), objective(-1e-3)) / 2e-3 }
    #expect(slope { spread(l + $0) } < 1e-8)
    #expect(slope { residual(a + $0, b) } < 1e-6)
    #expect(slope { residual(a, b + $0) } < 1e-6)
  }

  @Test("Spec: C9.7a tables from trajectories are within four standard errors of quadrature")
  func quadrature() throws {
    let golden = try Golden("statistics")
    let world = PlaneFlow.vp
    // Every third of the golden nodes from λ = −3 to 1.5.
    let rows = Tensor((0...30).map { 30 + 3 * $0 })
    let (from, to) = (world.schedule.time(atHalfLogSNR: -3), world.schedule.time(atHalfLogSNR: 1.5))
    let marginal = PlaneFlow.mixture.diffused(by: world.schedule.kernel(at: from))
    func measurement() -> StatisticsMeasurement<ExactFisher> {
      StatisticsMeasurement(
        of: world.denoiser, fisher: ExactFisher(world.denoiser), from: from, to: to, nodes: 31, steps: 120)
    }
    var generator = Generator(seed: 11)
    var all = measurement()
    let parts = (0..<32).map { _ in
      let starts = marginal.sample(128, using: &generator)
      var own = measurement()
      own.add(starts)
      all.add(starts)
      return own.statistics
    }
    for (name, table) in [("l", { $0.l }), ("a", { $0.a }), ("b", { $0.b })] as [(String, (ModelStatistics) -> Tensor)]
    {
      let error = Tensor.stacked(parts.map(table)).standardDeviation(0) / 32.0.squareRoot()
      let score = ((table(all.statistics) - (try golden[name]).selecting(rows)) / error).abs()
      #expect(score.max().item < 4, "\(name)")
      #expect(error.max().item < 0.1, "\(name)")
    }
  }

  @Test("Spec: C9.7a identity 9.7.10: how N̂ changes along the flow", arguments: PlaneFlow.all)
  func identity(_ world: PlaneFlow) {
    let formula = StatisticsFormula.plane
    let (denoiser, anchor, middle, h) = (world.denoiser, -0.7, 0.2, 0.01)
    let lambdas = (-2...2).map { middle + h * Double($0) }
    let times = lambdas.map { world.schedule.time(atHalfLogSNR: $0) }
    let states = world.states(TimeGrid([world.from] + times)).dropFirst()
    let values = zip(states, zip(times, lambdas)).map { x, place in
      let kernel = world.schedule.kernel(at: place.0)
      return formula.anchored(
        formula.remainder(x, denoiser.denoise(x, at: place.0), kernel), at: place.1, from: anchor)
    }
    let found = (8 * (values[3] - values[1]) - (values[4] - values[0])) / (12 * h)
    let (value, rate) = Self.remainders(
      states[states.startIndex + 2], formula.l(middle), formula.lRate(middle), world.schedule.kernel(at: times[2]),
      denoiser)
    let expected = formula.decay(anchor, middle) * (rate - formula.a(middle) * value - formula.b(middle))
    expectClose(found, expected, within: 1e-6)
  }

  @Test("probes estimate the diagonal, from a seed; other trajectories and batches are other estimates")
  func probes() {
    let world = PlaneFlow.vp
    func statistics(_ diagonal: StatisticsMeasurement<ExactFisher>.Diagonal, seed: UInt64 = 0, batches: Int = 1)
      -> ModelStatistics
    {
      var measurement = StatisticsMeasurement(
        of: world.denoiser, fisher: ExactFisher(world.denoiser), from: world.from, to: world.to, nodes: 9, steps: 24,
        diagonal: diagonal, seed: seed)
      let starts = world.schedule.sigma(world.from) * SplitMix(seed: 3).unit([512, 2])
      for part in starts.split(512 / batches) { measurement.add(part) }
      return measurement.statistics
    }
    let exact = statistics(.exact)
    let (first, again, other) = (statistics(.probes(1)), statistics(.probes(1)), statistics(.probes(1), seed: 1))
    #expect(first.l.isIdentical(to: again.l) && first.b.isIdentical(to: again.b))
    #expect(distance(first.l, other.l) > 1e-6)
    // An off-diagonal element is at most about 0.3, and there are 512.
    #expect(distance(first.l, exact.l) < 4 * 0.3 / 512.0.squareRoot())
    #expect(distance(first.l, exact.l) > 1e-6)
    #expect(distance(statistics(.probes(2)).l, exact.l) < 4 * 0.3 / 1024.0.squareRoot())
    // Every batch has probes of its own.
    #expect(distance(statistics(.probes(1), batches: 2).l, first.l) > 1e-6)
    var twice = StatisticsMeasurement(
      of: world.denoiser, fisher: ExactFisher(world.denoiser), from: world.from, to: world.to, nodes: 9, steps: 24,
      diagonal: .probes(1))
    twice.add(world.start)
    let once = twice.statistics.l
    twice.add(world.start)
    #expect(distance(once, twice.statistics.l) > 1e-6 && twice.trajectories == 8)
    // Moments do not know how they were divided.
    let parts = statistics(.exact, batches: 8)
    expectClose(parts.l, exact.l, within: 1e-13)
    expectClose(parts.a, exact.a, within: 1e-6)
    expectClose(parts.b, exact.b, within: 1e-6)
  }

  @Test("statistics do not know the schedule, nor how the Fisher is had")
  func schedules() {
    func statistics<F: FisherAccess>(_ world: PlaneFlow, _ fisher: (GaussianMixtureDenoiser) -> F) -> ModelStatistics
    where F.Operator: FisherMatvec {
      let ends = [-1.5, 1.5].map { world.schedule.kernel(at: world.schedule.time(atHalfLogSNR: $0)) }
      var measurement = StatisticsMeasurement(
        of: world.denoiser, fisher: fisher(world.denoiser), from: ends[0].time, to: ends[1].time, nodes: 21, steps: 400)
      measurement.add(ends[0].alpha * 2 * SplitMix(seed: 3).unit([32, 2]))
      return measurement.statistics
    }
    let first = statistics(.vp) { ExactFisher($0) }
    for other in [
      statistics(.flow) { ExactFisher($0) }, statistics(.edm) { JVPFisher($0) }, statistics(.trig) { VJPFisher($0) },
      statistics(.vp) { FiniteDifferenceFisher($0, scheme: .central) },
    ] {
      expectClose(other.l, first.l, within: 1e-6)
      expectClose(other.a, first.a, within: 1e-5)
      expectClose(other.b, first.b, within: 1e-5)
    }
  }

  @Test("a trajectory costs three evaluations at a node and one per step between")
  func cost() {
    let world = PlaneFlow.vp
    let counted = CountedDenoiser(world.denoiser)
    var measurement = StatisticsMeasurement(
      of: counted, fisher: ExactFisher(world.denoiser), from: world.from, to: world.to, nodes: 9, steps: 24)
    #expect(measurement.stepsBetween == 3)
    measurement.add(world.start)
    #expect(counted.counter.count == 9 * 3 + 8 * 2)
    #expect(
      StatisticsMeasurement(of: counted, fisher: ExactFisher(world.denoiser), from: world.from, to: world.to)
        .stepsBetween == 2)
  }

  /// A field without a remainder: `y' = −ℓ y`.
  struct Linear: Denoiser {
    let l: @Sendable (Double) -> Double
    let schedule: any NoiseSchedule = EDMSchedule()
    func denoise(_ x: Tensor, at t: Double) -> Tensor { (1 - l(-log(t))) * x }
  }

  @Test("tables are cubics between their nodes: cubic polynomials are exact, others of the fourth order")
  func interpolation() {
    func decay(_ nodes: Int, _ l: @escaping @Sendable (Double) -> Double) -> Double {
      let zero = Tensor(scalar: 0)
      let statistics = ModelStatistics(over: -1...2, nodes: nodes) { (Tensor(scalar: l($0)), zero, zero) }
      let grid = TimeGrid([exp(0.9), exp(-1.7)])
      return integrate(Tensor(rows: [[1]]), along: grid, with: DPMSolverV3(1, statistics), in: Linear(l: l)).item
    }
    let cubic: Double = 2.6 + (pow(1.7, 4) - pow(0.9, 4)) / 4
    for nodes in [4, 5, 6, 9] {
      #expect(abs(decay(nodes) { 1 + $0 * $0 * $0 } / exp(-cubic) - 1) < 1e-12, "\(nodes) nodes")
    }
    let exact: Double = exp(exp(-0.9) - exp(1.7))
    let errors = [16, 32, 64].map { n in (steps: n, error: abs(decay(n + 1) { exp($0) } / exact - 1)) }
    #expect(observedOrder(errors) > 3.8, "\(errors)")
  }
}
