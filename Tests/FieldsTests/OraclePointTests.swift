import RealModule
import Scorefield
import ScorefieldTestSupport
import Testing

/// The specification's golden points: two Gaussians on a line under every schedule, and five points in a plane.
@Suite struct OraclePointTests {
  struct Row: Sendable, CustomStringConvertible {
    let name: String
    let t, x, logDensity, score, noise, data, velocity, variance, cumulant: Double
    var description: String { "\(name) at \(t)" }

    init(_ name: String, _ v: Double...) {
      self.name = name
      (t, x, logDensity, score, noise) = (v[0], v[1], v[2], v[3], v[4])
      (data, velocity, variance, cumulant) = (v[5], v[6], v[7], v[8])
    }
  }

  static let rows = [
    Row(
      "edm", 0.3, 0.25, -2.612340008, 2.776238142, -0.832871443, 0.499861433, -0.832871443, 0.072144980, -1.496497e-4),
    Row("edm", 0.7, -1, -2.571074623, -1.089225906, 0.762458134, -1.533720694, 0.762458134, 0.564056610, 0.814483464),
    Row("vp", 0.3, 0.25, -1.344707799, 0.604651053, -0.469789665, 0.976900586, -2.593865946, 1.134654123, -1.968597481),
    Row("vp", 0.7, -1, -1.457739340, 1.024072132, -1.020422309, 0.198992089, -0.168866006, 3.086117073, -2.160508967),
    Row(
      "flow", 0.3, 0.25, -1.814883688, 2.995928245, -0.898778474, 0.742333632, -1.641112105, 0.123097927, -0.002361425),
    Row("flow", 0.7, -1, -1.632453119, 1.316938199, -0.921856739, -1.182334275, 0.260477535, 2.242423051, 3.457173955),
    Row(
      "trig", 0.3, 0.25, -2.117292005, 2.179636878, -0.989534436, 0.784774537, -1.944585883, 0.163559983, -0.023581367),
    Row("trig", 0.7, -1, -1.661706477, 0.677337370, -0.603512016, -1.018230242, 0.994724158, 2.387492121, 3.000967161),
    Row(
      "ve-geometric", 0.7, -1, -2.433776546, 0.084932072, -0.329874910, 0.281229259, -10.91254946, 2.921424576,
      -2.480338537),
  ]

  @Test("Spec: B0.4 F3 two Gaussians on a line", arguments: rows)
  func mixture1D(_ row: Row) throws {
    let field = GaussianMixtureDenoiser(try Fixture.mixture1D(), on: NamedSchedule.named(row.name))
    let x = Tensor(rows: [[row.x]])
    let found = field.posterior(x, at: row.t, along: Tensor(rows: [[1]]))
    func check(_ tensor: Tensor, _ expected: Double, _ what: Comment) {
      // The table has nine decimals, or ten digits.
      #expect(abs(tensor.item - expected) <= 6e-10 + 1e-9 * abs(expected), what)
    }
    check(found.logDensity, row.logDensity, "log p")
    check(found.score, row.score, "score")
    check(found.mean, row.data, "x*")
    check(found.covarianceTrace, row.variance, "Var")
    check(found.covarianceProduct!, row.variance, "Var")
    check(field.noise(x, at: row.t), row.noise, "ε*")
    check(ProbabilityFlow(field).velocity(x, at: row.t), row.velocity, "v*")

    // x₀ given x is an exponential family with parameter α x/σ²: its third cumulant is the slope of its variance.
    let h = 1e-3 * found.kernel.sigma
    func variance(_ steps: Double) -> Double { field.posterior(x + steps * h, at: row.t).covarianceTrace.item }
    let slope = (8 * (variance(1) - variance(-1)) - (variance(2) - variance(-2))) / (12 * h)
    let cumulant = slope * found.kernel.sigma * found.kernel.sigma / found.kernel.alpha
    #expect(abs(cumulant - row.cumulant) <= 1e-8, "κ₃: \(cumulant)")
  }

  @Test("Spec: B0.4 F5 five points in a plane")
  func points() {
    let field = EmpiricalDenoiser(data: Fixture.points, on: .flowMatching)
    let found = field.posterior(Tensor(rows: [[0.4, 0.5]]), at: 0.3)
    expectClose(found.mean, Tensor(rows: [[0.25941607, 0.5647367]]), within: 2e-8)
    expectClose(found.score, Tensor(rows: [[-2.42676388, -1.16315904]]), within: 4e-9)
    // The mean of the points one hot is the weights.
    let weights = EmpiricalDenoiser(
      data: .concatenated([Fixture.points, 1e-9 * Tensor.identity(5)], 1), on: .flowMatching
    )
    .denoise(Tensor(rows: [[0.4, 0.5, 0, 0, 0, 0, 0]]), at: 0.3)
    let expected = Tensor(rows: [[0.17584723, 0.25943456, 0.56469304, 2.2941e-5, 2.2246e-6]])
    expectClose(1e9 * weights[Axis.all, 2...], expected, within: 1e-8)
  }
}
