import Scorefield
import ScorefieldTestSupport
import Testing

/// The exact field of mixtures against the oracle of `Tests/Golden/make_mixture.py`, at 50 digits.
@Suite struct MixtureGoldenTests {
  struct Case: Decodable, Sendable, CustomStringConvertible {
    let group, form, schedule: String
    let index, seed_v: Int
    let k, t, alpha, sigma: Double
    var description: String { "\(group) \(form), \(schedule) σ/α = \(k)" }
  }

  static let groups = [1, 2, 3, 16].flatMap { dimension in [1, 3, 5].map { "\($0)x\(dimension)" } }

  @Test("Spec: F1 density, score, mean, traces and products agree with the oracle to 1e-9", arguments: groups)
  func oracle(_ name: String) throws {
    let golden = try Golden("mixture")
    let cases = try golden.metadata("cases", as: [Case].self).filter { $0.group == name }
    #expect(cases.count == 20 && Set(cases.map(\.schedule)) == Set(NamedSchedule.all.map(\.name)))
    for test in cases {
      let schedule = NamedSchedule.named(test.schedule)
      let kernel = schedule.kernel(at: test.t)
      #expect(abs(kernel.alpha / test.alpha - 1) < 1e-13 && abs(kernel.sigma / test.sigma - 1) < 1e-13, "\(test)")

      let x = try golden["\(name).x"][test.index]
      let v = SplitMix(seed: test.seed_v).symmetric(x.shape)
      let field = GaussianMixtureDenoiser(try mixture(test, golden), on: schedule)
      let found = field.posterior(x, at: test.t, along: v)
      func check(_ what: String, _ actual: Tensor) throws {
        expectClose(actual, try golden["\(name).\(what)"][test.index], within: 1e-9, "\(what): \(test)")
      }
      try check("log_density", found.logDensity)
      try check("score", found.score)
      try check("posterior_mean", found.mean)
      try check("trace", found.fisherTrace)
      try check("matvec", found.fisherProduct(with: v))
      try check("covariance_trace", found.covarianceTrace)
      try check("covariance_product", found.covarianceProduct!)
      expectClose(field.denoise(x, at: test.t), found.mean, within: 0)
    }
  }

  private func mixture(_ test: Case, _ golden: Golden) throws -> GaussianMixture {
    func part(_ name: String) throws -> Tensor { try golden["\(test.group).\(name)"] }
    let (weights, means) = (try part("weights"), try part("means"))
    return switch test.form {
    case "full": try GaussianMixture(weights: weights, means: means, covariances: part("covariances"))
    case "diagonal": try GaussianMixture(weights: weights, means: means, standardDeviations: part("stds"))
    default: try GaussianMixture(weights: weights, means: means, standardDeviations: part("round"))
    }
  }
}
