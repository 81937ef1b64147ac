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
}
