import RealModule
import Scorefield
import ScorefieldTestSupport
import Testing

/// Fields that are tilted by a classifier, a loss or a likelihood.
@Suite struct ScoreGuidanceTests {
  private func gaussian(_ schedule: any NoiseSchedule) throws -> GaussianMixtureDenoiser {
    GaussianMixtureDenoiser(
      try GaussianMixture(
        means: Tensor(rows: [[0, 0]]), covariances: Tensor(rows: [[1, 0.5], [0.5, 2]]).expanded(at: 0)), on: schedule)
  }

  private func three(_ schedule: any NoiseSchedule) throws -> (
    whole: GaussianMixtureDenoiser, first: GaussianMixtureDenoiser
  ) {
    let covariances = Tensor([0.3, 0.1, 0.1, 0.2, 0.2, -0.05, -0.05, 0.4, 0.25, 0, 0, 0.15], shape: [3, 2, 2])
    let means = Tensor(rows: [[2, 0], [-1, 1.5], [-0.5, -2]])
    return (
      GaussianMixtureDenoiser(
        try GaussianMixture(weights: Tensor([0.5, 0.3, 0.2]), means: means, covariances: covariances), on: schedule),
      GaussianMixtureDenoiser(try GaussianMixture(means: means[0..<1], covariances: covariances[0..<1]), on: schedule)
    )
  }

  @Test(
    "(Spec: C8.1a.1) the score and the class's gradient are the class's own score, on every schedule",
    arguments: NamedSchedule.all)
  func decomposition(_ named: NamedSchedule) throws {
    let (whole, first) = try three(named.schedule)
    let guided = ScoreGuidance(whole) { x, t in
      first.posterior(x, at: t).logDensity - whole.posterior(x, at: t).logDensity
    }
    let range = named.schedule.timeRange
    for (index, share) in stride(from: 0.05, through: 0.95, by: 0.1).enumerated() {
      let t = range.lowerBound + share * (range.upperBound - range.lowerBound)
      let kernel = named.schedule.kernel(at: t)
      let x =
        (kernel.alpha * kernel.alpha + kernel.sigma * kernel.sigma).squareRoot()
        * SplitMix(seed: 40 + index).unit([100, 2])
      expectClose(guided.score(x, at: t), first.score(x, at: t), within: 1e-12, "\(named) \(t)")
    }
  }

  @Test(
    "(Spec: C8.1a.2) a pull on the score is the same flow whatever is predicted", arguments: NamedSchedule.all)
  func conversions(_ named: NamedSchedule) throws {
    let whole = try three(named.schedule).whole
    let range = named.schedule.timeRange
    let t = range.lowerBound + 0.4 * (range.upperBound - range.lowerBound)
    let kernel = named.schedule.kernel(at: t)
    let (x, pull) = (kernel.sigma * SplitMix(seed: 31).unit([7, 2]), SplitMix(seed: 32).unit([7, 2]) / kernel.sigma)
    let score = whole.score(x, at: t)
    // Each head's own formula of the pull, and the flow's: −½ g² δ.
    let pulled: [PredictionDenoiser] = [
      PredictionDenoiser(.score, on: named.schedule) { _, _ in score + pull },
      PredictionDenoiser(.noise, on: named.schedule) { _, k in -k.sigma * (score + pull) },
      PredictionDenoiser(.data, on: named.schedule) { x, k in
        whole.denoise(x, at: t) + (k.sigma * k.sigma / k.alpha) * pull
      },
    ]
    let expected =
      ProbabilityFlow(whole).velocity(x, at: t) - (0.5 * kernel.diffusion * kernel.diffusion) * pull
    for denoiser in pulled {
      expectClose(ProbabilityFlow(denoiser).velocity(x, at: t), expected, within: 1e-12, "\(named)")
    }
  }

  @Test("(Spec: C8.1a.3) guidance of no weight leaves every sampler as it is, bit for bit")
  func weightless() throws {
    let whole = try three(.variancePreserving).whole
    let guided = ScoreGuidance(whole, scale: 0) { x, _ in -x.squared().sum(-1) }
    let grid = TimeGrid.uniformHalfLogSNR(8, over: .variancePreserving, from: 0.9, to: 0.05)
    let start = SplitMix(seed: 33).unit([4, 2])
    func check(_ solver: some Solver<any Denoiser>) {
      #expect(
        integrate(start, along: grid, with: solver, in: guided).doubles
          == integrate(start, along: grid, with: solver, in: whole).doubles, "\(solver)")
    }
    check(.ddim)
    check(.dpmSolver3)
    check(.dpmSolverPlusPlus2M)
    check(StochasticDDIM(eta: 1, noise: .seed(2)))
  }

  @Test("(Spec: C8.2.1, C8.3.7) the three arrows of classifier-free guidance at the fixture's point")
  func arrows() throws {
    let (whole, first) = try three(.variancePreserving)
    let x = Tensor(rows: [[0.5, -0.25]])
    let (free, own) = (whole.score(x, at: 0.3), first.score(x, at: 0.3))
    expectClose(free, Tensor(rows: [[0.442338564965, 0.187859760388]]), within: 1e-11)
    let towards = Tensor(rows: [[0.591433419027, 0.118214261358]])
    expectClose(own - free, towards, within: 1e-11)
    let guided = ClassifierFreeGuidance(first, over: whole, scale: 3)
    expectClose(guided.score(x, at: 0.3), free + 3 * towards, within: 1e-11)
  }

  @Test("(Spec: C8.1b.1, C8.1b.3) a quadratic loss tilts a Gaussian to the Gaussian of the summed precisions")
  func quadratic() throws {
    let field = try gaussian(.variancePreserving)
    let (q, centre, w) = (Tensor(rows: [[1.5, 0.3], [0.3, 0.7]]), Tensor([0.4, -1]), 1.3)
    let t = 0.4
    let kernel = field.schedule.kernel(at: t)
    let guided = ScoreGuidance(field, scale: w) { x, _ in
      let offset = x - centre
      return -0.5 * offset.dot(offset.matmul(q))
    }
    let x = SplitMix(seed: 3).unit([6, 2])
    let covariance =
      (kernel.alpha * kernel.alpha) * Tensor(rows: [[1, 0.5], [0.5, 2]]) + (kernel.sigma * kernel.sigma)
      * Tensor.identity(2)
    let precision = covariance.inverse() + w * q
    let mean = precision.solve((w * q).matmul(centre.expanded(at: 1))).squeezed(1)
    expectClose(guided.score(x, at: t), -(x - mean).matmul(precision), within: 1e-12)
  }

  @Test(
    "(Spec: C8.1b.2, C8.2.1, C8.3.1) an exact classifier at weight one gives the class's own score, and what classifier-free guidance gives at every weight",
    arguments: [0.0, 0.5, 1, 2, 7.5])
  func classifier(_ weight: Double) throws {
    let (whole, first) = try three(.variancePreserving)
    let classify: @Sendable (Tensor, Double) -> Tensor = { x, t in
      first.posterior(x, at: t).logDensity - whole.posterior(x, at: t).logDensity + Double.log(0.5)
    }
    let guided = ScoreGuidance(whole, scale: weight, by: classify)
    let x = 1.5 * SplitMix(seed: 4).unit([8, 2])
    for t in [0.05, 0.3, 0.8] {
      let free = ClassifierFreeGuidance(first, over: whole, scale: weight)
      expectClose(guided.score(x, at: t), free.score(x, at: t), within: 1e-12, "\(t)")
      // The score of p(x) p(c | x)^ω by differences.
      let h = 1e-4
      for axis in 0..<2 {
        let step = Tensor(axis == 0 ? [h, 0] : [0, h])
        func density(_ x: Tensor) -> Tensor { whole.posterior(x, at: t).logDensity + weight * classify(x, t) }
        let slope = (density(x + step) - density(x - step)) / (2 * h)
        expectClose(guided.score(x, at: t)[Axis.all, axis], slope, within: 1e-6)
      }
      if weight == 1 { expectClose(guided.score(x, at: t), first.score(x, at: t), within: 1e-12) }
    }
  }

  @Test("(Spec: C8.4c.1) posterior sampling pulls as the row says, and too strongly by the row's factor")
  func posterior() throws {
    let field = try gaussian(.trigonometric)
    let x = Tensor(rows: [[0.3, -0.4]])
    // The row's σ have seven digits.
    for (alpha, ratio) in [(0.5, 145.3037971348), (0.9, 38.1117430436), (0.99, 4.9688267547)] {
      let sigma = (1 - alpha * alpha).squareRoot()
      let t = field.schedule.time(atNoiseToSignal: sigma / alpha)
      let guided = ScoreGuidance.posterior(
        of: field, MatrixMeasurement(Tensor(rows: [[1, -1]])), observed: Tensor(rows: [[0.8]]), deviation: 0.1)
      let pull = (guided.score(x, at: t) - field.score(x, at: t))[0]
      // The exact likelihood has the posterior's own spread beside σ_y².
      let spread = ExactFisher(field).fisher(at: x, time: t)
      let a = Tensor(rows: [[1, -1]])
      let covariance = (sigma * sigma / (alpha * alpha)) * (a - (sigma * sigma) * spread.matvec(a))
      let excess = (a.dot(covariance).item + 0.01) / 0.01
      #expect(abs(excess / ratio - 1) < 1e-5, "\(alpha): \(excess)")
      guard alpha == 0.9 else { continue }
      expectClose(pull, Tensor([14.8476001015, -16.7127532174]), within: 1e-7)
      // With the spread it is the exact likelihood's.
      let exact = MomentMatchedGuidance(
        field, MatrixMeasurement(a), observed: Tensor(rows: [[0.8]]), deviation: 0.1, fisher: ExactFisher(field),
        tolerance: 1e-12)
      expectClose(
        (exact.score(x, at: t) - field.score(x, at: t))[0], Tensor([0.3895807149, -0.4385197811]), within: 1e-7)
    }
  }

  @Test("(Spec: C8.4c.1) as the noise goes, posterior sampling pulls as the exact likelihood does")
  func limit() throws {
    let field = try gaussian(.edm)
    let (x, a, y) = (Tensor(rows: [[0.3, -0.4]]), Tensor(rows: [[1, -1]]), Tensor(rows: [[0.8]]))
    let (dps, exact) = (
      ScoreGuidance.posterior(of: field, MatrixMeasurement(a), observed: y, deviation: 0.1),
      MomentMatchedGuidance(
        field, MatrixMeasurement(a), observed: y, deviation: 0.1, fisher: ExactFisher(field), tolerance: 1e-12)
    )
    func pull(_ guided: some Denoiser, _ t: Double) -> Tensor { guided.denoise(x, at: t) - field.denoise(x, at: t) }
    for t in [1e-2, 1e-3, 1e-4] {
      // A C Aᵀ is 2 σ² there, and σ_y² is 0.01.
      let ratio = pull(dps, t).norm().item / pull(exact, t).norm().item
      #expect(abs((ratio - 1) / (200 * t * t) - 1) < 1e-2, "\(t): \(ratio)")
    }
  }

  @Test("(Spec: C8.4c.2) of a Gaussian, with noise and without, the pull of posterior sampling is the closed form's")
  func linear() throws {
    let covariance = Tensor(rows: [[1, 0.5], [0.5, 2]])
    let (a, y) = (Tensor(rows: [[1, -1], [0.5, 2]]), Tensor(rows: [[0.8, -0.3]]))
    let x = SplitMix(seed: 34).unit([6, 2])
    for schedule in [.trigonometric, .edm, .variancePreserving] as [any NoiseSchedule] {
      let field = try gaussian(schedule)
      for t in [0.2, 0.6, 0.9] {
        let k = schedule.kernel(at: t)
        // ∂x̂₀/∂x = α S (α² S + σ² I)⁻¹.
        let jacobian =
          k.alpha
          * covariance.matmul(
            ((k.alpha * k.alpha) * covariance + (k.sigma * k.sigma) * Tensor.identity(2)).inverse())
        let error = y - x.matmul(jacobian.transposed).matmul(a.transposed)
        let slope = error.matmul(a).matmul(jacobian)
        func pull(_ deviation: Double, scale: Double) -> Tensor {
          ScoreGuidance.posterior(
            of: field, MatrixMeasurement(a), observed: y, deviation: deviation, scale: scale
          ).score(x, at: t) - field.score(x, at: t)
        }
        expectClose(pull(0.1, scale: 1), slope / 0.01, within: 1e-10, "\(schedule) \(t)")
        expectClose(pull(0, scale: 3), 3 * slope / error.norm(-1, keeping: true), within: 1e-10, "\(schedule) \(t)")
      }
    }
    // Where what was seen is met there is no pull, and no NaN.
    let field = try gaussian(.edm)
    let met = ScoreGuidance.posterior(
      of: field, MatrixMeasurement(a), observed: field.denoise(x, at: 0.6).matmul(a.transposed), deviation: 0)
    #expect(met.denoise(x, at: 0.6).isIdentical(to: field.denoise(x, at: 0.6)))
  }

  @Test("(Spec: C8.4c.2) a measurement need not be linear")
  func nonlinear() throws {
    struct Cube: Measurement {
      func apply(_ x: Tensor) -> Tensor { x * x * x }
    }
    let field = try gaussian(.edm)
    let (x, y) = (Tensor(rows: [[0.3, -0.4]]), Tensor(rows: [[0.5, 0.1]]))
    let guided = ScoreGuidance.posterior(of: field, Cube(), observed: y, deviation: 0.5)
    let pull = guided.score(x, at: 0.7) - field.score(x, at: 0.7)
    func weight(_ x: Tensor) -> Double { (field.denoise(x, at: 0.7).pow(3) - y).squared().sum().item * -2 }
    for axis in 0..<2 {
      let step = Tensor(axis == 0 ? [1e-5, 0] : [0, 1e-5])
      #expect(abs(pull[0][axis].item - (weight(x + step) - weight(x - step)) / 2e-5) < 1e-5)
    }
  }

  @Test("(Spec: C8.4b.1) every linear measurement has its adjoint")
  func adjoints() {
    let x = SplitMix(seed: 5).unit([3, 2, 4, 6])
    func check(_ measurement: some LinearMeasurement, _ what: String) {
      let seen = measurement.apply(x)
      let y = SplitMix(seed: 6).unit(seen.shape)
      let back = measurement.adjoint(y, like: x)
      #expect(back.shape == x.shape)
      expectClose(seen.flattened.dot(y.flattened), x.flattened.dot(back.flattened), within: 1e-12, "\(what)")
      expectClose(measurement.apply(2 * x + back), 2 * seen + measurement.apply(back), within: 1e-12, "\(what)")
    }
    check(MaskMeasurement((SplitMix(seed: 7).uniform([2, 4, 6]) .> 0.5).to(.float64)), "mask")
    check(DownsamplingMeasurement(2), "downsampling")
    check(BlurMeasurement(SplitMix(seed: 8).uniform([3, 3])), "blur")
    check(MatrixMeasurement(SplitMix(seed: 9).unit([5, 48])), "matrix")
    expectClose(DownsamplingMeasurement(2).apply(x)[0][0][0][0], x[0][0][0..<2][Axis.all, 0..<2].mean(), within: 1e-15)
    // The kernel's middle alone is nothing.
    expectClose(BlurMeasurement(Tensor(rows: [[0, 0, 0], [0, 1, 0], [0, 0, 0]])).apply(x), x, within: 1e-15)
  }
}

/// Sampling that is steered by a loss of where it leads.
@Suite struct AdjointGuidanceTests {
  // Smooth data: the end of a path to a point does not depend on where it began.
  private let field: GaussianMixtureDenoiser

  init() throws {
    field = GaussianMixtureDenoiser(
      try GaussianMixture(
        means: SplitMix(seed: 71).symmetric([6, 4]), standardDeviations: Tensor([0.3, 0.4, 0.5, 0.3, 0.4, 0.5])),
      on: .edm)
  }

  private let grid = TimeGrid.karras(20, over: .edm, from: 20, to: 0.05)
  private let start = 20 * SplitMix(seed: 72).unit([40, 4])
  private let target = Tensor([0.5, -0.5, 0.2, 0])

  private func loss(_ x: Tensor) -> Tensor { (x - target).squared().sum(-1) }

  @Test("Spec: F5 the loss falls with every operator, more with more guided steps, and nothing moves without strength")
  func falls() {
    func run(_ guided: Range<Int>, _ strength: Double = 0.2) -> Tensor {
      guidedSample(
        field, from: start, along: grid, guidance: AdjointGuidance(guided: guided, strength: strength),
        fisher: { _ in ExactFisher(field) }, loss: loss
      ).losses[Axis.all].sum(-1)
    }
    let plain = loss(sample(field, from: start, along: grid, with: .ddim).samples).sum().item
    let unmoved = run(0..<20, 0)
    #expect(abs(unmoved[20].item - plain) < 1e-9)
    let (some, many) = (run(8..<12), run(2..<16))
    #expect(some.shape == [5] && many.shape == [15])
    #expect(some[4].item < 0.9 * plain && many[14].item < some[4].item)

    func last(_ losses: Tensor) -> Double { losses[losses.batch - 1].sum().item }
    let guidance = AdjointGuidance(guided: 2..<16)
    let vjp = guidedSample(
      field, from: start, along: grid, guidance: guidance, fisher: { _ in VJPFisher(field) }, loss: loss)
    expectClose(Tensor([last(vjp.losses)]), many[14..<15], within: 1e-6)
    for form in [EndpointFisher.Form.printed, .centred] {
      let found = guidedSample(
        field, from: start, along: grid, guidance: guidance,
        fisher: { EndpointFisher(field, endpoint: $0.endpoint, form: form) }, loss: loss)
      #expect(last(found.losses) < plain && found.outcome == .converged, "\(form)")
    }
  }

  @Test("a loss that is no number is an outcome, and the path goes on unguided")
  func notFinite() {
    let found = guidedSample(
      field, from: start, along: grid, guidance: AdjointGuidance(guided: 3..<6), fisher: { _ in ExactFisher(field) },
      loss: { $0.sum(-1) * .nan })
    #expect(found.outcome == .notFinite && found.losses.shape == [2, 40])
    expectClose(found.samples, sample(field, from: start, along: grid, with: .ddim).samples, within: 1e-12)
    #expect(found.isStopped.all())
  }

  @Test(
    "a loss or a gradient that is no number stops the guidance of its sample alone, from there on",
    arguments: [false, true])
  func oneNotFinite(_ isGradient: Bool) {
    let lost = Tensor.arange(0..<40) .== 7
    /// A loss that is NaN where asked for, or has the slope of the root of zero there.
    func loss(_ x: Tensor, losing isLost: Bool) -> Tensor {
      let (none, factor) = (Tensor.zeros([40]), Tensor.ones([40]))
      let rough =
        (x[Axis.all, 0].squared() + 1)
        * (isLost && isGradient ? factor.replacing(with: 0, where: lost) : factor)
      return self.loss(x) + rough.sqrt() + (isLost && !isGradient ? none.replacing(with: .nan, where: lost) : none)
    }
    func run(_ guided: Range<Int>, losing from: Int? = nil) -> GuidedSamples {
      var asked = 0
      return guidedSample(
        field, from: start, along: grid, guidance: AdjointGuidance(guided: guided), fisher: { _ in ExactFisher(field) },
        loss: { x in
          asked += 1
          return loss(x, losing: from.map { asked > $0 } ?? false)
        })
    }
    let (found, whole, short) = (run(3..<9, losing: 2), run(3..<9), run(3..<5))
    #expect(found.outcome == .notFinite && found.losses.shape == [7, 40])
    #expect(found.isStopped.flags == lost.flags)
    let others = Tensor((0..<40).filter { $0 != 7 })
    #expect(found.samples.selecting(others).isIdentical(to: whole.samples.selecting(others)))
    expectClose(found.samples[7], short.samples[7], within: 1e-12)
  }
}
