import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct LikelihoodTests {
  /// A point between the data and the noise at which every schedule has smooth densities to judge.
  static func start(_ schedule: any NoiseSchedule) -> Double { schedule.time(atNoiseToSignal: 0.1) }

  @Test("Spec: F4 exact fields have the log-density of their closed form, to 1e-6 nats", arguments: NamedSchedule.all)
  func closedForm(_ named: NamedSchedule) throws {
    let (from, to) = (Self.start(named.schedule), named.schedule.timeRange.upperBound)
    let worlds: [(GaussianMixture, Tensor)] = [
      (try Fixture.gauss3D(), Tensor(rows: [[0.2, -0.3, 1], [2, -2, 3], [-1.5, 0, 0]])),
      (try Fixture.mixture2D(), Tensor(rows: [[0.1, -0.2], [-2, 0.1], [3, 2], [0, -3]])),
    ]
    for (mixture, points) in worlds {
      let field = GaussianMixtureDenoiser(mixture, on: named.schedule)
      let kernel = named.schedule.kernel(at: from)
      let x = kernel.alpha * points
      let found = logLikelihood(
        of: x, under: field, trace: ExactFisher(field), from: from, to: to, prior: .exact(field),
        solver: .dopri5(rtol: 1e-8, atol: 1e-8))
      let exact = mixture.diffused(by: kernel).logDensity(x)
      #expect(found.outcome == .converged && found.standardError == nil)
      #expect(found.logLikelihood.shape == [points.batch] && found.latent.shape == x.shape)
      #expect(largestError(found.logLikelihood, exact.doubles) <= 1e-6)
    }
  }

  @Test(
    "Spec: F4 the error stays below the tolerance a dimension, well below 1e-5 at rtol 1e-7, for points in 64 dimensions too"
  )
  func points() {
    let data = SplitMix(seed: 5).symmetric([40, 64])
    let schedule = VariancePreserving()
    let field = EmpiricalDenoiser(data: data, on: schedule)
    let from = schedule.time(atNoiseToSignal: 0.3)
    let kernel = schedule.kernel(at: from)
    let x = kernel.alpha * data[..<6] + kernel.sigma * SplitMix(seed: 6).unit([6, 64])
    let found = logLikelihood(
      of: x, under: field, trace: ExactFisher(field), from: from, to: 1, prior: .exact(field),
      solver: .dopri5(rtol: 1e-7, atol: 1e-7))
    #expect(largestError(found.logLikelihood, field.posterior(x, at: from).logDensity.doubles) <= 64 * 1e-7)
  }

  /// The third fixture on a line, and three points on it.
  static let points = Tensor(rows: [[-2], [0.25], [1.5]])
  static let tight = LikelihoodSolver.dopri5(rtol: 1e-10, atol: 1e-10)

  func line(
    _ schedule: any NoiseSchedule, from: Double = 1e-4, to: Double, _ prior: (GaussianMixtureDenoiser) -> Prior
  ) throws -> Likelihood {
    let field = try LineFlow.mixture(on: schedule).denoiser()
    return logLikelihood(
      of: Self.points, under: field, trace: ExactFisher(field), from: from, to: to, prior: prior(field),
      solver: Self.tight)
  }

  @Test("Spec: B4.15 log-likelihoods of the mixture on a line, by its own marginal and by the normal prior")
  func goldens() throws {
    let exact = try line(.variancePreserving, to: 1) { .exact($0) }
    #expect(largestError(exact.logLikelihood, [-1.206647053, -2.934869699, -0.764796831]) < 1e-8)
    // What the true density of the data is without the noise that is left at 1e−4.
    let data = try Fixture.mixture1D().logDensity(Self.points)
    #expect(largestError(data, [-1.206620542, -2.934925984, -0.764787853]) < 1e-9)

    let normal = try line(.variancePreserving, to: 1) { _ in .normal }
    #expect(largestError(normal.logLikelihood, [-1.203590489, -2.933385450, -0.765888151]) < 1e-8)
    // The specification calls it N(0, 1); its digits are those of the noise's own variance, 1 − 4.3e−5.
    let stated = try line(.variancePreserving, to: 1) { _ in .normal(standardDeviation: 1) }
    #expect(largestError(stated.logLikelihood, normal.logLikelihood.doubles) > 1e-5)
    let deviation = VariancePreserving().sigma(1.0)
    let own = try line(.variancePreserving, to: 1) { _ in .normal(standardDeviation: deviation) }
    #expect(own.logLikelihood.isIdentical(to: normal.logLikelihood))
    let loss = try #require(normal.priorError)
    expectClose(loss, exact.logLikelihood - normal.logLikelihood, within: 1e-9)
    #expect(largestError(try #require(exact.priorError), loss.doubles) < 1e-12)
  }

  // The specification says T = 20 but not where it starts; its digits are those of 1e−3.
  @Test("Spec: B4.15 on the schedule that leaves the signal, the normal prior has the noise's variance")
  func goldensOfEDM() throws {
    let normal = try line(.edm, from: 1e-3, to: 20) { _ in .normal }
    #expect(largestError(normal.logLikelihood, [-1.183627208, -2.921354266, -0.770767191]) < 1e-8)
    let stated = try line(.edm, from: 1e-3, to: 20) { _ in .normal(standardDeviation: 20) }
    #expect(largestError(stated.logLikelihood, normal.logLikelihood.doubles) < 1e-12)
  }

  @Test("Spec: B4.15 the density of a line integrates to 1", arguments: [Prior.normal, nil])
  func mass(_ prior: Prior?) throws {
    let field = try LineFlow.mixture(on: .variancePreserving).denoiser()
    let (count, reach) = (1201, 6.0)
    let x = Tensor.linspace(from: -reach, to: reach, count: count).expanded(at: 1)
    let found = logLikelihood(
      of: x, under: field, trace: ExactFisher(field), from: 1e-3, to: 1, prior: prior ?? .exact(field),
      solver: .dopri5(rtol: 1e-7, atol: 1e-7))
    #expect(abs(found.logLikelihood.exp().sum().item * 2 * reach / Double(count - 1) - 1) < 1e-6)
  }

  /// A solver and the order it has.
  struct Claim: Sendable, CustomStringConvertible {
    let description: String
    let method: RungeKutta
    let order: Double
    let steps: [Int]
  }

  @Test(
    "likelihoods converge with the order of their solver, which is asked for as many slopes as it has",
    arguments: [
      Claim(description: "Euler", method: .euler, order: 1, steps: [400, 800]),
      Claim(description: "Heun", method: .heun, order: 2, steps: [100, 200]),
      Claim(description: "RK4", method: .rk4, order: 4, steps: [50, 100]),
    ])
  func orders(_ claim: Claim) throws {
    let field = try LineFlow.mixture(on: .flowMatching).denoiser()
    let (from, to) = (Self.start(field.schedule), 0.9)
    let exact = field.posterior(Self.points, at: from).logDensity
    let errors = claim.steps.map { steps in
      let counted = CountedDenoiser(field)
      let found = logLikelihood(
        of: Self.points, under: counted, trace: ExactFisher(field), from: from, to: to, prior: .exact(field),
        solver: .rungeKutta(claim.method, steps: steps))
      #expect(found.evaluations == claim.method.tableau.stages * steps && found.evaluations == counted.counter.count)
      return (steps: steps, error: largestError(found.logLikelihood, exact.doubles))
    }
    let order = observedOrder(errors)
    #expect(order > claim.order - 0.2 && errors[1].error < 0.05, "observed \(order), \(errors)")
  }

  @Test(
    "adaptive likelihoods keep their tolerance and count their evaluations",
    arguments: [
      (LikelihoodSolver.dopri5(), 1e-3), (.dopri5(rtol: 1e-8, atol: 1e-12), 1e-6),
      (.adaptive(.bogackiShampine, StepController(rtol: 1e-6, atol: 1e-6, norm: .maximum)), 1e-4),
    ])
  func adaptive(_ solver: LikelihoodSolver, _ tolerance: Double) throws {
    let field = try LineFlow.mixture(on: .flowMatching).denoiser()
    let counted = CountedDenoiser(field)
    let found = logLikelihood(
      of: Self.points, under: counted, trace: ExactFisher(field), from: 0.05, to: 0.99, prior: .exact(field),
      solver: solver)
    #expect(largestError(found.logLikelihood, field.posterior(Self.points, at: 0.05).logDensity.doubles) < tolerance)
    #expect(found.evaluations == counted.counter.count)
  }

  @Test("samples of any shape, and of either precision")
  func shapes() {
    let data = SplitMix(seed: 1).symmetric([5, 2, 3])
    func found(_ type: ElementType) -> Likelihood {
      let field = EmpiricalDenoiser(data: data.to(type), on: .edm)
      return logLikelihood(
        of: data.to(type), under: field, trace: ExactFisher(field), from: 0.3, to: 80, prior: .exact(field))
    }
    let (double, single) = (found(.float64), found(.float32))
    #expect(double.latent.shape == [5, 2, 3] && single.latent.elementType == .float32)
    #expect(single.logLikelihood.elementType == .float64)
    expectClose(single.logLikelihood, double.logLikelihood, within: 1e-4)
    expectClose(single.latent, double.latent, within: 1e-4)
    let field = EmpiricalDenoiser(data: data, on: .edm)
    #expect(double.bitsPerDim.isIdentical(to: bitsPerDim(double.logLikelihood, dimension: 6)))
    #expect(
      largestError(double.logLikelihood, field.posterior(data, at: 0.3).logDensity.doubles) < 1e-3)
  }

  @Test("an empty batch has an empty answer")
  func empty() throws {
    let field = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: .edm)
    let found = logLikelihood(
      of: .zeros([0, 2]), under: field, trace: ExactFisher(field), from: 0.1, to: 20,
      solver: .rungeKutta(.rk4, steps: 2))
    #expect(found.logLikelihood.shape == [0] && found.latent.shape == [0, 2])
  }

  @Test("numbers that did not settle are an outcome, and no likelihood")
  func unsettled() throws {
    let field = try LineFlow.mixture(on: .variancePreserving).denoiser()
    let short = logLikelihood(
      of: Self.points, under: field, trace: ExactFisher(field), from: 1e-4, to: 1,
      solver: .dopri5(rtol: 1e-9, atol: 1e-9, stepLimit: 4))
    #expect(short.outcome == .stepLimit && short.logLikelihood.isNaN().all() && short.latent.isFinite().all())

    let broken = logLikelihood(
      of: Self.points, under: Broken(), trace: ExactFisher(field), from: 1e-4, to: 1,
      solver: .rungeKutta(.heun, steps: 10))
    #expect(broken.outcome == .notFinite && broken.logLikelihood.isNaN().all() && broken.standardError == nil)
  }

  /// A model that breaks down in the noise.
  struct Broken: Denoiser {
    let schedule: any NoiseSchedule = VariancePreserving()
    func denoise(_ x: Tensor, at t: Double) -> Tensor { t > 0.5 ? x * .nan : x }
  }
}
