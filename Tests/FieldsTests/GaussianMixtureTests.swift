import RealModule
import Scorefield
import ScorefieldTestSupport
import Testing

/// Closed forms of Gaussian mixtures, at the specification's golden points and against each other.
@Suite struct GaussianMixtureTests {
  @Test("Spec: B0.4 F2 a Gaussian with askew axes")
  func gauss3D() throws {
    let field = GaussianMixtureDenoiser(try Fixture.gauss3D(), on: .flowMatching)
    let found = field.posterior(Tensor(rows: [[0.2, -0.3, 1]]), at: 0.3)
    expectClose(found.score, Tensor(rows: [[0.45415657, -0.77150212, 0.96833669]]), within: 1e-8)
    expectClose(found.mean, Tensor(rows: [[0.34410584, -0.52776456, 1.55307186]]), within: 1e-8)
    expectClose(found.logDensity, Tensor([-1.8812236051]), within: 1e-10)
    let basis = Tensor.identity(3)
    let covariance = field.posterior(Tensor(rows: [[0.2, -0.3, 1]]).tiled(3, 1), at: 0.3, along: basis)
    expectClose(covariance.covarianceProduct!.diagonal, Tensor([0.15262032, 0.14394353, 0.13092835]), within: 1e-7)
    expectClose(found.covarianceTrace, Tensor([0.15262032 + 0.14394353 + 0.13092835]), within: 1e-7)
  }

  @Test("Spec: B0.4 F4 three round Gaussians")
  func mixture2D() throws {
    let field = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: .flowMatching)
    let found = field.posterior(Tensor(rows: [[0.1, -0.2]]), at: 0.3)
    expectClose(found.logDensity, Tensor([-5.7156408808]), within: 1e-10)
    expectClose(found.score, Tensor(rows: [[0.30899501, -4.66117912]]), within: 1e-8)
    expectClose(found.mean, Tensor(rows: [[0.18258507, -0.88500874]]), within: 1e-8)
  }

  @Test("Spec: F1 a mixture of points is the field of the data set", arguments: NamedSchedule.all)
  func points(_ named: NamedSchedule) throws {
    let weights = Tensor([1.0, 2, 0.5, 3, 0.7])
    let mixture = try GaussianMixture(
      weights: weights, means: Fixture.points, standardDeviations: Tensor.zeros([5]))
    let points = EmpiricalDenoiser(data: Fixture.points, weights: weights, on: named.schedule)
    let field = GaussianMixtureDenoiser(mixture, on: named.schedule)
    let range = named.schedule.timeRange
    for t in [range.lowerBound, 0.3 * range.upperBound, range.upperBound] {
      let kernel = named.schedule.kernel(at: t)
      let x = kernel.alpha * Fixture.points[..<3] + kernel.sigma * SplitMix(seed: 3).unit([3, 2])
      let v = SplitMix(seed: 4).symmetric([3, 2])
      let (a, b) = (field.posterior(x, at: t, along: v), points.posterior(x, at: t, along: v))
      expectClose(a.logDensity, b.logDensity, within: 1e-10)
      expectClose(a.mean, b.mean, within: 1e-10)
      expectClose(a.score, b.score, within: 1e-9)
      expectClose(a.fisherTrace, b.fisherTrace, within: 1e-9)
      expectClose(a.fisherProduct(with: v), b.fisherProduct(with: v), within: 1e-9)
    }
  }

  @Test(
    "the score is the gradient of the density, and the Hessian's product that of the score",
    arguments: [0.02, 0.3, 0.9])
  func derivatives(_ t: Double) throws {
    let covariances = Tensor([1, 0.3, 0.3, 0.8, 0.2, -0.1, -0.1, 0.1, 0, 0, 0, 0.5], shape: [3, 2, 2])
    let mixture = try GaussianMixture(
      weights: Tensor([1, 2, 1]), means: Tensor(rows: [[-1, 0], [2, 1], [0, -2]]), covariances: covariances)
    let field = GaussianMixtureDenoiser(mixture, on: .flowMatching)
    let (x, v) = (SplitMix(seed: 6).unit([7, 2]), SplitMix(seed: 7).symmetric([7, 2]))
    let found = field.posterior(x, at: t, along: v)
    expectClose(gradient(at: x) { field.posterior($0, at: t).logDensity.sum() }, found.score, within: 1e-11)
    let product = gradient(at: x) { (field.posterior($0, at: t).score * v).sum() }
    expectClose(found.hessianProduct!, product, within: 1e-10)
    // F = −∇² log q, C = (σ²/α²)(I − σ² F) and the posterior mean's slope is (α/σ²) C.
    expectClose(found.fisherProduct(with: v), -product, within: 1e-10)
    let slope = gradient(at: x) { (field.denoise($0, at: t) * v).sum() }
    let kernel = found.kernel
    expectClose((kernel.alpha / (kernel.sigma * kernel.sigma)) * found.covarianceProduct!, slope, within: 1e-10)
    let gain = kernel.signalToNoise
    expectClose(
      found.covarianceTrace, (2 - kernel.sigma * kernel.sigma * found.fisherTrace) / gain, within: 1e-9)
  }

  @Test("a Gaussian has the same Fisher everywhere, to the last digits at any noise", arguments: NamedSchedule.all)
  func gaussian(_ named: NamedSchedule) throws {
    let mixture = try Fixture.gauss3D()
    let field = GaussianMixtureDenoiser(mixture, on: named.schedule)
    for t in [named.schedule.timeRange.lowerBound, named.schedule.timeRange.upperBound] {
      let kernel = named.schedule.kernel(at: t)
      let total =
        (kernel.alpha * kernel.alpha) * mixture.covariances[0] + (kernel.sigma * kernel.sigma) * Tensor.identity(3)
      let found = field.posterior(kernel.alpha * SplitMix(seed: 8).unit([3, 3]), at: t, along: Tensor.identity(3))
      expectClose(found.fisherProduct(with: Tensor.identity(3)), total.inverse(), within: 1e-13)
      expectClose(found.fisherTrace, Tensor.full([3], total.inverse().trace.item), within: 1e-13)
    }
  }

  @Test("Spec: F1 covariances of 0 are the limit of small ones")
  func limit() throws {
    func field(_ deviation: Double) throws -> GaussianMixtureDenoiser {
      let covariances = (deviation * deviation) * Tensor.identity(2).broadcast(to: [5, 2, 2])
      return GaussianMixtureDenoiser(
        try GaussianMixture(means: Fixture.points, covariances: covariances), on: .variancePreserving)
    }
    let x = SplitMix(seed: 9).unit([6, 2])
    let (point, blurred) = (
      try field(0).posterior(x, at: 0.2, along: x), try field(1e-7).posterior(x, at: 0.2, along: x)
    )
    expectClose(blurred.logDensity, point.logDensity, within: 1e-10)
    expectClose(blurred.mean, point.mean, within: 1e-10)
    expectClose(blurred.fisherProduct(with: x), point.fisherProduct(with: x), within: 1e-10)
    expectClose(blurred.covarianceTrace, point.covarianceTrace, within: 1e-10)
  }

  @Test("covariances, standard deviations and their squares on the diagonal are the same mixture")
  func forms() throws {
    let (means, weights) = (SplitMix(seed: 1).unit([3, 4]), Tensor([0.2, 0.5, 0.3]))
    let deviations = 0.1 + SplitMix(seed: 2).uniform([3, 4])
    let mixtures = [
      try GaussianMixture(weights: weights, means: means, standardDeviations: deviations),
      try GaussianMixture(weights: 7 * weights, means: means, covariances: deviations.squared().diagonalMatrix),
    ]
    let x = SplitMix(seed: 3).unit([5, 4])
    expectClose(mixtures[1].covariances, mixtures[0].covariances, within: 1e-15)
    #expect(mixtures[0].axes == nil && mixtures[1].axes != nil && mixtures[0].count == 3 && mixtures[0].dimension == 4)
    let found = mixtures.map { GaussianMixtureDenoiser($0, on: .edm).posterior(x, at: 0.4, along: x) }
    expectClose(found[1].logDensity, found[0].logDensity, within: 1e-13)
    expectClose(found[1].score, found[0].score, within: 1e-13)
    expectClose(found[1].fisherProduct(with: x), found[0].fisherProduct(with: x), within: 1e-13)
    expectClose(found[1].covarianceProduct!, found[0].covarianceProduct!, within: 1e-13)
    expectClose(mixtures[0].weights, weights, within: 1e-15)

    let round = try GaussianMixture(means: means, standardDeviations: Tensor([0.1, 0.2, 0.3]))
    expectClose(round.variances, Tensor([0.01, 0.04, 0.09]).expanded(at: 1).broadcast(to: [3, 4]), within: 1e-15)
    expectClose(round.weights, Tensor([1.0 / 3, 1.0 / 3, 1.0 / 3]), within: 1e-15)
  }

  @Test("components without weight are none")
  func weightless() throws {
    let full = try GaussianMixture(
      weights: Tensor([0, 1, 0, 3]), means: SplitMix(seed: 1).unit([4, 2]),
      covariances: Tensor.identity(2).broadcast(to: [4, 2, 2]))
    #expect(full.count == 2)
    expectClose(full.weights, Tensor([0.25, 0.75]), within: 1e-15)
    expectClose(full.means, SplitMix(seed: 1).unit([4, 2]).selecting(Tensor([1, 3])), within: 0)
  }

  @Test("blurred by a kernel, a mixture is the distribution of x_t")
  func diffused() throws {
    let mixture = try Fixture.gauss3D()
    let kernel = NamedSchedule.named("vp").kernel(at: 0.3)
    let x = SplitMix(seed: 4).unit([5, 3])
    let expected = GaussianMixtureDenoiser(mixture, on: .variancePreserving).posterior(x, at: 0.3).logDensity
    expectClose(mixture.diffused(by: kernel).logDensity(x), expected, within: 1e-14)
    // The density itself, by the formula.
    let residual = x - mixture.means
    let square = (residual.matmul(mixture.covariances[0].inverse()) * residual).sum(-1)
    let determinant = mixture.covariances[0].determinant().item
    let density = -0.5 * square - (1.5 * Double.log(2 * .pi) + 0.5 * Double.log(determinant))
    expectClose(mixture.logDensity(x), density, within: 1e-13)
  }

  @Test("draws have the moments of the mixture, and the same seed the same draws")
  func sampling() throws {
    let covariances = Tensor([1, 0.3, 0.3, 0.8, 0.2, -0.1, -0.1, 0.1, 0, 0, 0, 0], shape: [3, 2, 2])
    let mixture = try GaussianMixture(
      weights: Tensor([2, 5, 3]), means: Tensor(rows: [[-1, 0], [2, 1], [5, -2]]), covariances: covariances)
    var generator = Generator(seed: 11)
    let count = 40_000
    let draws = mixture.sample(count, using: &generator)
    #expect(draws.shape == [count, 2])
    let mean = mixture.weights.matmul(mixture.means)
    let deviations = mixture.means - mean
    let covariance =
      (mixture.weights.reshaped(3, 1, 1) * mixture.covariances).sum(0)
      + (deviations * mixture.weights.expanded(at: 1)).transposed.matmul(deviations)
    // Four standard errors.
    let centred = draws - mean
    let products = centred.expanded(at: 2) * centred.expanded(at: 1)
    #expect(((draws.mean(0) - mean).abs() .< 4 * draws.standardDeviation(0) / Double(count).squareRoot()).all())
    let error = (products.mean(0) - covariance).abs()
    #expect((error .< 4 * products.standardDeviation(0) / Double(count).squareRoot()).all())
    // The third component is a point.
    let points = (draws - Tensor(rows: [[5, -2]])).norm(-1) .< 1e-12
    let share = points.to(.float64).mean().item
    #expect(abs(share - 0.3) < 4 * (0.3 * 0.7 / Double(count)).squareRoot())

    var again = Generator(seed: 11)
    #expect(mixture.sample(count, using: &again).isIdentical(to: draws))
    var other = Generator(seed: 11)
    #expect(try Fixture.mixture1D().sample(0, using: &other).shape == [0, 1])
    let line = try Fixture.mixture1D().sample(count, using: &other)
    #expect(abs(line.mean().item - 0.45) < 4 * (2.8725 / Double(count)).squareRoot())
    #expect(abs(line.variance().item - 2.8725) < 0.08)
  }

  @Test("answers come in the element type of the points, and many points as few")
  func batches() throws {
    let field = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: .variancePreserving)
    let x = SplitMix(seed: 12).unit([200_000, 2])
    let found = field.posterior(x, at: 0.2, along: x)
    let last = field.posterior(x[199_990...], at: 0.2, along: x[199_990...])
    expectClose(found.logDensity[199_990...], last.logDensity, within: 1e-14)
    expectClose(found.hessianProduct![199_990...], last.hessianProduct!, within: 1e-14)
    expectClose(field.denoise(x, at: 0.2)[199_990...], last.mean, within: 1e-14)
    #expect(field.posterior(x[..<0], at: 0.2, along: x[..<0]).score.shape == [0, 2])
    #expect(field.denoise(x[..<0], at: 0.2).shape == [0, 2])

    let single = field.posterior(x[..<9].to(.float32), at: 0.2, along: x[..<9].to(.float32))
    #expect(single.logDensity.elementType == .float32 && single.hessianProduct!.elementType == .float32)
    #expect(field.denoise(x[..<9].to(.float32), at: 0.2).elementType == .float32)
    expectClose(single.score, found.score[..<9], within: 1e-6)
  }

  @Test("far from the origin nothing is lost")
  func offset() throws {
    let near = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: .edm)
    let shifted = try GaussianMixture(
      weights: Tensor([0.5, 0.3, 0.2]), means: Tensor(rows: [[-2, 0], [2, 1], [0, -2]]) + 65536,
      standardDeviations: Tensor([0.3, 0.5, 0.4]))
    let far = GaussianMixtureDenoiser(shifted, on: .edm)
    let x = (SplitMix(seed: 13).unit([5, 2]) * 1024).rounded() / 1024
    let (a, b) = (near.posterior(x, at: 0.5, along: x), far.posterior(x + 65536, at: 0.5, along: x))
    expectClose(b.logDensity, a.logDensity, within: 1e-14)
    expectClose(b.score, a.score, within: 1e-14)
    expectClose(b.covarianceProduct!, a.covarianceProduct!, within: 1e-13)
    expectClose(b.covarianceTrace, a.covarianceTrace, within: 1e-13)
  }

  @Test("what is asked in another dimension stops the process and says why")
  func refusals() async {
    func stops(_ expected: String, _ result: ExitTest.Result?) {
      let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
      #expect(message.contains(expected), "\(message)")
    }
    stops(
      "posterior([3, 5], along: nothing): the mixture is of dimension 2",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        _ = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: .edm).posterior(.zeros([3, 5]), at: 1)
      })
    stops(
      "posterior([1, 2] int64): needs floating-point numbers",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        _ = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: .edm).denoise(Tensor([3, 4], shape: [1, 2]), at: 1)
      })
    stops(
      "logDensity([1, 2]): a Gaussian of variance 0 has no density",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        _ = try GaussianMixture(means: Fixture.points, standardDeviations: .zeros([5])).logDensity(.zeros([1, 2]))
      })
    stops(
      "fisherProduct(with: [1, 2]): the moments were taken along no such direction",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        let field = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: .edm)
        _ = field.posterior(.zeros([1, 2]), at: 1).fisherProduct(with: .zeros([1, 2]))
      })
  }
}
