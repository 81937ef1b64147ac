import Scorefield
import ScorefieldTestSupport
import Testing

/// Sampling what was measured, against the posterior that is known.
@Suite struct PosteriorSamplingTests {
  private static let covariances = Tensor(
    [0.3, 0.1, 0.1, 0.2, 0.2, -0.05, -0.05, 0.4, 0.25, 0, 0, 0.15], shape: [3, 2, 2])
  private static let means = Tensor(rows: [[2, 0], [-1, 1.5], [-0.5, -2]])
  private static let weights = Tensor([0.5, 0.3, 0.2])
  private static let measurement = MatrixMeasurement(Tensor(rows: [[1, 0]]))
  private static let (observed, deviation) = (1.0, 0.3)

  private func field(_ schedule: any NoiseSchedule) throws -> GaussianMixtureDenoiser {
    GaussianMixtureDenoiser(
      try GaussianMixture(weights: Self.weights, means: Self.means, covariances: Self.covariances), on: schedule)
  }

  /// The mixture of what was seen, by each component's own update.
  private func posterior() throws -> GaussianMixture {
    var (weights, means, covariances): ([Double], [Tensor], [Tensor]) = ([], [], [])
    for k in 0..<3 {
      let (mean, c) = (Self.means[k], Self.covariances[k])
      let (spread, gap) = (c[0, 0].item + Self.deviation * Self.deviation, Self.observed - mean[0].item)
      weights.append(Self.weights[k].item * Double.exp(-0.5 * gap * gap / spread) / spread.squareRoot())
      means.append(mean + c[0] * (gap / spread))
      covariances.append(c - c[0].expanded(at: 1) * c[0] / spread)
    }
    let total = weights.reduce(0, +)
    return try GaussianMixture(
      weights: Tensor(weights.map { $0 / total }), means: .stacked(means), covariances: .stacked(covariances))
  }

  /// What many samples say: the distance from what was seen, means and covariances.
  private func moments(_ x: Tensor) -> (distance: Double, mean: Tensor, covariance: Tensor) {
    let centred = x - x.mean(0)
    return (
      (x[Axis.all, 0] - Self.observed).abs().mean().item, x.mean(0),
      centred.transposed.matmul(centred) / Double(x.batch)
    )
  }

  @Test("(Spec: C8.4c.3) the mixture's posterior is the row's, and its own reverse SDE samples it")
  func exact() throws {
    let posterior = try posterior()
    expectClose(posterior.weights, Tensor([0.944302748, 0.0023946897, 0.0533025623]), within: 1e-7)
    let mean = posterior.weights.matmul(posterior.means)
    expectClose(mean, Tensor([1.1952654069, -0.3459677549]), within: 1e-8)
    let field = GaussianMixtureDenoiser(posterior, on: .variancePreserving)
    let samples = run(field, steps: 600, count: 4000)
    let found = moments(samples)
    let deviations = Tensor([0.0905365709, 0.3323767025]).sqrt()
    #expect(((found.mean - mean).abs() .<= 4 / 4000.0.squareRoot() * deviations + 1e-2).all())
    expectClose(
      found.covariance, Tensor(rows: [[0.0905365709, 0.0740455794], [0.0740455794, 0.3323767025]]), within: 0.08)
    #expect(abs(found.distance - 0.294) < 0.02)
  }

  private func run(_ model: any Denoiser, steps: Int, count: Int) -> Tensor {
    let grid = TimeGrid.uniform(steps, over: .variancePreserving, from: 1, to: 1e-3)
    var generator = Generator(seed: 3)
    let start = Tensor.normal([count, 2], using: &generator)
    return integrate(start, along: grid, with: EulerMaruyama(noise: .seed(4)), in: model)
  }

  @Test(
    "(Spec: C8.4c.4) of a mixture, posterior sampling is near what was seen and too sure; with the spread of the estimate its distance is nearer the truth's"
  )
  func approximate() throws {
    let field = try field(.variancePreserving)
    let y = Tensor(rows: [[Self.observed]])
    let unguided = moments(run(field, steps: 600, count: 1000))
    let dps = moments(
      run(
        ScoreGuidance.posterior(of: field, Self.measurement, observed: y, deviation: Self.deviation), steps: 600,
        count: 1000))
    let matched = moments(
      run(
        MomentMatchedGuidance(
          field, Self.measurement, observed: y, deviation: Self.deviation, fisher: ExactFisher(field)), steps: 600,
        count: 1000))
    #expect(abs(unguided.distance - 1.41) < 0.1)
    #expect(dps.distance < 0.3 * unguided.distance && abs(dps.distance - 0.18) < 0.03)
    // Too sure, and not sure enough: the spread of the estimate is that between the modes too.
    #expect(dps.covariance[0, 0].item < 0.0905365709 * 0.75 && matched.covariance[0, 0].item > 0.0905365709 * 1.25)
    #expect(abs(matched.distance - 0.294) < abs(dps.distance - 0.294))
  }

  @Test("of a Gaussian the update is exact, with any measurement, at every noise level, and without a gradient")
  func gaussian() throws {
    let covariance = Self.covariances[0]
    let schedule = EDMSchedule()
    let prior = try GaussianMixture(means: Self.means[0..<1], covariances: Self.covariances[0..<1])
    let field = GaussianMixtureDenoiser(prior, on: schedule)
    for matrix in [
      Tensor(rows: [[1, -1]]), Tensor(rows: [[1, 0.5], [0.2, -1]]), Tensor(rows: [[1, 0], [0, 1], [1, 1]]),
    ] {
      let y = SplitMix(seed: 5).unit([3, matrix.shape[0]])
      let s2 = 0.04
      let gain = covariance.matmul(matrix.transposed)
        .matmul((matrix.matmul(covariance).matmul(matrix.transposed) + s2 * Tensor.identity(matrix.shape[0])).inverse())
      let rest = covariance - gain.matmul(matrix).matmul(covariance)
      for row in 0..<3 {
        let mean =
          Self.means[0]
          + gain.matmul((y[row] - matrix.matmul(Self.means[0].expanded(at: 1)).squeezed(1)).expanded(at: 1)).squeezed(1)
        let truth = GaussianMixtureDenoiser(
          try GaussianMixture(
            means: mean.expanded(at: 0), covariances: ((rest + rest.transposed) / 2).expanded(at: 0)), on: schedule)
        let guided = MomentMatchedGuidance(
          field, MatrixMeasurement(matrix), observed: y[row..<(row + 1)], deviation: s2.squareRoot(),
          fisher: ExactFisher(field), tolerance: 1e-12)
        for t in [0.01, 0.5, 3, 40] {
          let x = t * SplitMix(seed: 6).unit([5, 2])
          expectClose(guided.denoise(x, at: t), truth.denoise(x, at: t), within: 1e-7, "\(matrix.shape) at \(t)")
        }
      }
    }
  }

  /// Products of one matrix, whatever the point.
  private struct Fixed: FisherAccess {
    struct At: FisherMatvec {
      let matrix: Tensor
      func matvec(_ v: Tensor) -> Tensor { v.matmul(matrix.transposed) }
    }
    let matrix: Tensor
    func fisher(at x: Tensor, time t: Double) -> At { At(matrix: matrix) }
  }

  @Test("products that are no spread cannot amplify, and what they leave of a system is told")
  func unlikeSpread() throws {
    let field = GaussianMixtureDenoiser(
      try GaussianMixture(means: .zeros([1, 6]), standardDeviations: Tensor([1])), on: .edm)
    let (x, y, t, deviation) = (SplitMix(seed: 22).unit([5, 6]), SplitMix(seed: 23).unit([5, 6]), 0.8, 0.1)
    let everything = MaskMeasurement(.ones([6]))
    let error = (y - field.denoise(x, at: t)).norm(-1)
    func update(_ spread: Tensor) -> (size: Tensor, residual: Tensor) {
      // C = (σ²/α²)(I − σ² F).
      let fisher = (Tensor.identity(6) - spread / (t * t)) / (t * t)
      let update = MomentMatchedGuidance(
        field, everything, observed: y, deviation: deviation, fisher: Fixed(matrix: fisher), tolerance: 1e-10
      ).update(x, at: t)
      return ((update.estimate - field.denoise(x, at: t)).norm(-1), update.residual)
    }
    let symmetric = SplitMix(seed: 24).unit([6, 6])
    let positive = symmetric.matmul(symmetric.transposed) / 6
    let one = update(positive)
    #expect((one.residual .<= 1e-10).all() && (one.size .<= error).all())
    // Skewed, negative, as negative as the noise (the system is singular), and the wrong sign.
    let skew = SplitMix(seed: 25).unit([6, 6])
    for (name, spread) in [
      ("skewed", positive + 0.3 * (skew - skew.transposed)), ("mixed", symmetric + symmetric.transposed),
      ("singular", -0.01 * (1 + 1e-9) * Tensor.identity(6)), ("negative", -positive),
    ] {
      let found = update(spread)
      #expect((found.residual .<= 1).all(), "\(name)")
      // |A u| ≤ |e| + σ_y² |r| + |residual|.
      #expect((found.size .<= 3 * error).all(), "\(name): \(found.size / error)")
    }
    #expect((update(-0.01 * (1 + 1e-9) * Tensor.identity(6)).residual .> 0.9).all())
    // NaN stays in its sample.
    let lost = MomentMatchedGuidance(
      field, everything, observed: y.replacing(with: .nan, where: (Tensor.arange(0..<5) .== 2).expanded(at: -1)),
      deviation: deviation, fisher: ExactFisher(field)
    ).update(x, at: t)
    #expect(lost.residual.isNaN().flags == [false, false, true, false, false] && lost.estimate.isFinite().all())
  }

  // MARK: Keeping to a measurement

  private static let measurements: [(name: String, measurement: any LinearMeasurement)] = [
    ("mask", MaskMeasurement((SplitMix(seed: 7).uniform([2, 4, 6]) .> 0.5).to(.float64))),
    ("downsampling", DownsamplingMeasurement(2)),
    ("blur", BlurMeasurement(Tensor(rows: [[0, 0.1, 0], [0.1, 0.6, 0.1], [0, 0.1, 0]]))),
    ("wide matrix", MatrixMeasurement(SplitMix(seed: 9).unit([5, 48]))),
    ("tall matrix", MatrixMeasurement(SplitMix(seed: 10).unit([60, 48]))),
    ("matrix of rank 3", MatrixMeasurement(SplitMix(seed: 11).unit([8, 3]).matmul(SplitMix(seed: 12).unit([3, 48])))),
  ]

  @Test(
    "(Spec: C8.4b.1) pseudo-inverses meet the four conditions of Moore and Penrose", arguments: measurements.map(\.name)
  )
  func pseudoInverse(name: String) {
    let measurement = Self.measurements.first { $0.name == name }!.measurement
    let (x, other) = (SplitMix(seed: 13).unit([3, 2, 4, 6]), SplitMix(seed: 14).unit([3, 2, 4, 6]))
    let seen = measurement.apply(x)
    let y = SplitMix(seed: 15).unit(seen.shape)
    func inverse(_ y: Tensor) -> Tensor { measurement.pseudoInverse(of: y, like: x, iterations: 400) }
    expectClose(measurement.apply(inverse(seen)), seen, within: 1e-10)
    expectClose(inverse(measurement.apply(inverse(y))), inverse(y), within: 1e-10)
    // A A† and A† A are symmetric.
    let z = SplitMix(seed: 16).unit(seen.shape)
    func dot(_ a: Tensor, _ b: Tensor) -> Tensor { a.flattened.dot(b.flattened) }
    expectClose(dot(measurement.apply(inverse(y)), z), dot(y, measurement.apply(inverse(z))), within: 1e-10)
    expectClose(
      dot(inverse(measurement.apply(x)), other), dot(x, inverse(measurement.apply(other))), within: 1e-10)
  }

  @Test("(Spec: C8.4b.2, C8.4b.3) a projection makes the state agree, and the gradient is that of the error")
  func corrections() throws {
    let field = GaussianMixtureDenoiser(
      try GaussianMixture(means: Tensor.zeros([1, 48]), standardDeviations: Tensor([0.7])), on: .variancePreserving)
    let matrix = MatrixMeasurement(SplitMix(seed: 9).unit([5, 48]))
    let (x, y, z) = (
      SplitMix(seed: 17).unit([4, 48]), SplitMix(seed: 18).unit([1, 5]), SplitMix(seed: 19).unit([4, 5])
    )
    let kernel = field.schedule.kernel(at: 0.4)
    var none = NoMemory()
    let plain = DDIM().step(x, from: 0.5, to: 0.4, in: field, memory: &none)
    let noisy = kernel.alpha * y + kernel.sigma * z
    let projected = MeasurementConsistency(DDIM(), matrix, observed: y, noise: .given([z]))
    var memory = projected.makeMemory()
    let found = projected.step(x, from: 0.5, to: 0.4, in: field, memory: &memory)
    expectClose(matrix.apply(found), noisy, within: 1e-12)
    let moved = MeasurementConsistency(DDIM(), matrix, observed: y, by: .gradient(0.3), noise: .given([z]))
    var other = moved.makeMemory()
    let slope = (moved.step(x, from: 0.5, to: 0.4, in: field, memory: &other) - plain) / 0.3
    expectClose(
      slope, gradient(at: plain) { -0.5 * (matrix.apply($0) - noisy).squared().sum() }, within: 1e-10)
  }

  private struct Fine: NoiseSchedule {
    let timeRange: ClosedRange<Double> = 1e-8...100
    func alpha<S: Elementary>(_ t: S) -> S { 1 }
    func sigma<S: Elementary>(_ t: S) -> S { t }
  }

  @Test(
    "(Spec: C8.4b.4) of a correlated Gaussian the projection fixes what is seen and moves what is not towards it, with a bias"
  )
  func inpainting() throws {
    let covariance = Tensor(rows: [[1, 0.8], [0.8, 1]])
    let field = GaussianMixtureDenoiser(
      try GaussianMixture(means: Tensor.zeros([1, 2]), covariances: covariance.expanded(at: 0)), on: Fine())
    let grid = TimeGrid.karras(200, over: Fine(), from: 80, to: 1e-8)
    let start = 80 * SplitMix(seed: 20).unit([2000, 2])
    let solver = MeasurementConsistency(
      EulerMaruyama(noise: .seed(1)), MaskMeasurement(Tensor([1, 0])), observed: Tensor(rows: [[1.5, 0]]),
      noise: .seed(2))
    let found = integrate(start, along: grid, with: solver, in: field)
    #expect((found[Axis.all, 0] - 1.5).abs().max().item < 1e-6)
    let mean = found[Axis.all, 1].mean().item
    // The exact conditional mean is 1.2.
    #expect(mean > 0.3 && mean < 1.2, "\(mean)")
  }
}
