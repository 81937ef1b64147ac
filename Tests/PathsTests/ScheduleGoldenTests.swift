import Scorefield
import ScorefieldTestSupport
import Testing

/// Coefficients of the specification, recomputed there independently.
@Suite struct ScheduleGoldenTests {
  struct Row: Sendable, CustomStringConvertible {
    let name: String
    let t, alpha, sigma, alphaRate, sigmaRate, drift, diffusionSquared, halfLogSNR: Double
    var description: String { "\(name) at \(t)" }

    init(_ name: String, _ values: Double...) {
      self.name = name
      (t, alpha, sigma) = (values[0], values[1], values[2])
      (alphaRate, sigmaRate) = (values[3], values[4])
      (drift, diffusionSquared, halfLogSNR) = (values[5], values[6], values[7])
    }
  }

  static let rows = [
    Row("vp", 0.1, 0.946721798821, 0.322052535525, -0.989324279768, 2.908267311830, -1.045, 2.09, 1.078290592942),
    Row("vp", 0.5, 0.281182880797, 0.959654202068, -1.412943976004, 0.413998768224, -5.025, 10.05, -1.227567734411),
    Row("vp", 0.9, 0.016996463262, 0.999855549685, -0.153053151672, 0.002601738091, -9.005, 18.01, -4.074605539251),
    Row("ve-geometric", 0.1, 1, 0.021196232487, 0, 0.220714987568, 0, 0.009356652380, 3.853931825963),
    Row("ve-geometric", 0.5, 1, 0.707036066973, 0, 6.023167409186, 0, 8.517193191416, 0.346673600281),
    Row(
      "ve-geometric", 0.9, 1, 21.334032688559, 0, 181.706117883484, 0, 7753.048517274935, -3.060303576430),
    Row("edm", 0.5, 1, 0.5, 0, 1, 0, 1, 0.693147180560),
    Row("flow", 0.1, 0.9, 0.1, -1, 1, -1 / 0.9, 0.2 / 0.9, 2.197224577336),
    Row("flow", 0.5, 0.5, 0.5, -1, 1, -2, 2, 0),
    Row("flow", 0.9, 0.1, 0.9, -1, 1, -10, 18, -2.197224577336),
    Row(
      "trig", 0.1, 0.987688340595, 0.156434465040, -0.245726683069, 1.551457217425, -0.248789697083, 0.497579394166,
      1.842730034701),
    Row(
      "subvp", 0.1, 0.946721798821, 0.103717835638, -0.989324279768, 1.873229723517, -1.045, 0.411057609059,
      2.211331185885),
    // F0: f = 0 and g² = 1.
    Row("ve", 0.25, 1, 0.5, 0, 1, 0, 1, 0.693147180560),
  ]

  @Test("Spec: B0.6 coefficients", arguments: rows)
  func coefficients(_ row: Row) {
    let kernel = NamedSchedule.named(row.name).kernel(at: row.t)
    func check(_ found: Double, _ expected: Double, _ what: String) {
      // The table has twelve decimals.
      #expect(abs(found - expected) <= 1e-12 + 1e-12 * abs(expected), "\(what): \(found), not \(expected)")
    }
    check(kernel.alpha, row.alpha, "α")
    check(kernel.sigma, row.sigma, "σ")
    check(kernel.alphaRate, row.alphaRate, "α′")
    check(kernel.sigmaRate, row.sigmaRate, "σ′")
    check(kernel.drift, row.drift, "f")
    check(kernel.diffusionSquared, row.diffusionSquared, "g²")
    check(kernel.halfLogSNR, row.halfLogSNR, "λ")
  }

  @Test("Spec: B0.6 DDPM's linear table")
  func linear() {
    let expected = [
      (1, 0.9999499987499375), (2, 0.9998900399904342), (10, 0.9990521531861261), (500, 0.2803341628873979),
      (1000, 0.006352818087570013),
    ]
    for (step, alpha) in expected {
      let kernel = NamedSchedule.named("ddpm-linear").kernel(at: Double(step - 1))
      #expect(abs(kernel.alpha / alpha - 1) < 1e-13)
    }
  }

  @Test("Spec: F0 f and g² of every continuous schedule, in closed form")
  func closedForms() {
    for t in [1e-5, 0.013, 0.37, 0.71, 1 - 1e-5] {
      let rate = 0.1 + t * 19.9
      let integral = t * (0.1 + 0.5 * t * 19.9)
      let geometric = 2 * Double.log(5000) * 1e-4 * Double.exp(2 * t * .log(5000))
      let expected = [
        ("vp", -rate / 2, rate), ("subvp", -rate / 2, -rate * Double.expMinusOne(-2 * integral)), ("ve", 0, 1),
        ("edm", 0, 2 * t), ("flow", -1 / (1 - t), 2 * t / (1 - t)), ("ve-geometric", 0, geometric),
        ("trig", -.pi / 2 * .tan(.pi / 2 * t), .pi * .tan(.pi / 2 * t)),
      ]
      for (name, drift, diffusionSquared) in expected where NamedSchedule.named(name).timeRange.contains(t) {
        let kernel = NamedSchedule.named(name).kernel(at: t)
        #expect(abs(kernel.drift - drift) <= 1e-10 * abs(drift), "\(name) at \(t)")
        #expect(abs(kernel.diffusionSquared / diffusionSquared - 1) <= 1e-10, "\(name) at \(t)")
      }
    }
  }

  @Test("Spec: F0 discrete tables follow their definitions")
  func tables() {
    // By the textbook's formulas, product by product.
    func check(_ name: String, _ variance: (Int) -> Double) {
      let schedule = NamedSchedule.named(name)
      #expect(schedule.timeRange == 0...999)
      var product = 1.0
      for step in 0..<1000 {
        product *= 1 - variance(step)
        let kernel = schedule.kernel(at: Double(step))
        #expect(abs(kernel.alpha * kernel.alpha / product - 1) < 1e-11, "\(name) at \(step)")
        #expect(abs(kernel.sigma * kernel.sigma - (1 - product)) < 1e-12, "\(name) at \(step)")
      }
    }
    check("ddpm-linear") { 1e-4 + (0.02 - 1e-4) * Double($0) / 999 }
    let (first, last) = (0.00085.squareRoot(), 0.012.squareRoot())
    check("scaled-linear") { step in
      let root = first + (last - first) * Double(step) / 999
      return root * root
    }
    func level(_ n: Int) -> Double {
      let cosine = Double.cos((Double(n) / 1000 + 0.008) / 1.008 * .pi / 2)
      return cosine * cosine
    }
    check("ddpm-cosine") { Swift.min(1 - level($0 + 1) / level($0), 0.999) }
  }

  @Test("Spec: F0 fractions of a step are interpolated in log α")
  func fractions() {
    for name in ["scaled-linear", "ddpm-linear", "ddpm-cosine"] {
      let schedule = NamedSchedule.named(name)
      for step in [0.0, 1, 499, 998] {
        let (here, next) = (schedule.kernel(at: step), schedule.kernel(at: step + 1))
        let middle = schedule.kernel(at: step + 0.25)
        let expected = 0.75 * Double.log(here.alpha) + 0.25 * Double.log(next.alpha)
        #expect(abs(Double.log(middle.alpha) / expected - 1) < 1e-11)
        #expect(abs(middle.drift / (Double.log(next.alpha) - Double.log(here.alpha)) - 1) < 1e-9)
      }
      // No digits are lost where α is close to 1.
      let kernel = schedule.kernel(at: 0)
      #expect(abs(kernel.sigma * kernel.sigma / ((1 - kernel.alpha) * (1 + kernel.alpha)) - 1) < 1e-11)
    }
    #expect(abs(NamedSchedule.named("ddpm-linear").kernel(at: 0).sigma - 0.01) < 1e-16)
    #expect(abs(NamedSchedule.named("scaled-linear").kernel(at: 0).sigma - 0.00085.squareRoot()) < 1e-16)
  }
}
