import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// What exponential methods are made of.
@Suite struct ExponentialToolTests {
  /// `φₖ(z) = ∫₀¹ e^{(1 − θ) z} θ^{k−1}/(k − 1)! dθ`, by Boole's rule on many intervals.
  func quadrature(_ k: Int, _ z: Double) -> Double {
    let factorial = (1..<max(k, 2)).reduce(1.0) { $0 * Double($1) }
    let (n, weights) = (400, [7.0, 32, 12, 32, 14])
    var sum = 0.0
    for i in 0...(4 * n) {
      let theta = Double(i) / Double(4 * n)
      let weight = i == 4 * n ? 7 : (i == 0 ? 7 : weights[i % 4 == 0 ? 4 : i % 4])
      sum += weight * exp((1 - theta) * z) * pow(theta, Double(k - 1)) / factorial
    }
    return sum * 2 / 45 / Double(4 * n)
  }

  @Test(
    "Spec: C9.1b C9.4c φ functions are their integrals, of small and large numbers of either sign",
    arguments: [1e-8, 1e-3, 0.1, 0.7, 0.99, 1.01, 1.5, 2.1, 2.9, 3.1, 3.9, 4.1, 5])
  func phiFunctions(_ magnitude: Double) {
    for z in [magnitude, -magnitude] {
      #expect(phi(0, z) == exp(z))
      for k in 1...4 {
        let expected = quadrature(k, z)
        #expect(abs(phi(k, z) / expected - 1) < 1e-13, "φ\(k)(\(z)) = \(phi(k, z))")
      }
    }
  }

  @Test("Spec: C9.1b φ at zero are the inverse factorials")
  func phiAtZero() {
    let expected: [Double] = [1, 1, 0.5, 1 / 6, 1 / 24]
    for (k, value) in expected.enumerated() { #expect(phi(k, 0) == value) }
  }

  @Test("Spec: C9.5a E15 moments of the weight e^λ are those of the corrected formula")
  func moments() {
    // e^{−λ_s} ∫ e^λ (λ − λ_s)^k/k! dλ over a step of 0.7.
    for (k, expected) in [1.0137527074704766, 0.3958741878, 0.0974952256].enumerated() {
      let moment = exp(0.7) * pow(0.7, Double(k + 1)) * phi(k + 1, -0.7)
      #expect(abs(moment - expected) < 1e-10)
    }
    // As printed, with e^{λ_{i−1}} φ(h), only the first agrees.
    let printed = [0.49 * phi(2, 0.7), 0.343 * phi(3, 0.7)]
    #expect(abs(printed[0] - 0.313753) < 1e-6 && abs(printed[1] - 0.068753) < 1e-6)
  }

  @Test("Spec: C9.3a Lagrange bases are partitions of unity, 1 at their node, and reproduce polynomials")
  func lagrange() {
    for nodes in [[0.4], [0.9, 0.2], [1, 0.6, -0.3], [0.9, 0.5, 0.2, -0.4]] {
      let basis = LagrangeBasis(nodes)
      for (j, node) in nodes.enumerated() {
        for (k, value) in basis.values(at: node).enumerated() { #expect(abs(value - (j == k ? 1 : 0)) < 1e-15) }
      }
      for x in [-0.7, 0.31, 1.4] {
        let values = basis.values(at: x)
        #expect(abs(values.reduce(0, +) - 1) < 1e-12)
        // The same from the coefficients.
        for (value, coefficients) in zip(values, basis.coefficients) {
          let again = coefficients.reversed().reduce(0) { $0 * x + $1 }
          #expect(abs(again - value) < 1e-12)
        }
        func polynomial(_ x: Double) -> Tensor {
          Tensor([1, 2, -3].map { a in nodes.indices.reduce(0) { $0 + a * pow(x, Double($1)) / Double($1 + 1) } })
        }
        expectClose(basis.interpolation(of: nodes.map(polynomial), at: x), polynomial(x), within: 1e-12)
        #expect(
          distance(basis.interpolation(of: nodes.map(polynomial), at: x), newton(nodes, nodes.map(polynomial), x))
            < 1e-11)
      }
    }
  }

  /// The same polynomial by divided differences.
  func newton(_ nodes: [Double], _ values: [Tensor], _ x: Double) -> Tensor {
    var table = values
    var (sum, product) = (values[0], 1.0)
    for order in 1..<max(nodes.count, 1) where order < nodes.count {
      table = (0..<(table.count - 1)).map { (table[$0 + 1] - table[$0]) / (nodes[$0 + order] - nodes[$0]) }
      product *= x - nodes[order - 1]
      sum = sum + product * table[0]
    }
    return sum
  }

  @Test("Spec: C9.3a nodes that fall together stop the process and are named")
  func duplicates() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = LagrangeBasis([0.5, 0.5])
    }
    let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(message.contains("LagrangeBasis([0.5, 0.5]): needs nodes that are finite and all different"))
  }

  /// `dx/dt = rate x + f(t)`.
  struct Forced: SemilinearField {
    let constant: Double
    let force: @Sendable (Double) -> Double
    func rate(at t: Double) -> Double { constant }
    func remainder(_ x: Tensor, at t: Double) -> Tensor { .full(x.shape, force(t)) }
  }

  @Test("Spec: C9.1b exponential Euler is exact where its coefficients are constant")
  func constantCoefficients() {
    let field = Forced(constant: 3) { _ in 2 }
    var memory = NoMemory()
    let x = Tensor(rows: [[1]])
    let end = ExponentialEuler().step(x, from: 1, to: 0.5, in: field, memory: &memory)
    #expect(abs(end.item - -0.29478306641928) < 1e-13)
    #expect(abs(integrate(x, along: TimeGrid([1, 0.5]), with: .euler, in: field).item - -1.5) < 1e-15)
    // f → 0 is Euler's step.
    let free = Forced(constant: 0) { _ in 2 }
    #expect(ExponentialEuler().step(x, from: 1, to: 0.5, in: free, memory: &memory).item == 0)
  }

  @Test("Spec: C9.1b exponential Euler stays where Euler's method runs away")
  func stiff() {
    let field = Forced(constant: -50) { cos($0) }
    let grid = TimeGrid((0...40).map { Double($0) / 10 })
    #expect(abs(integrate(Tensor(rows: [[1]]), along: grid, with: ExponentialEuler(), in: field).item) < 0.1)
    #expect(abs(integrate(Tensor(rows: [[1]]), along: grid, with: .euler, in: field).item) > 1e6)
  }

  @Test("Spec: C9.1b the linear factors of Euler and exponential Euler differ by half the square of the exponent")
  func gap() {
    let errors = [1, 2, 4, 8].map { n in
      let a = -0.2 / Double(n)
      return (steps: n, error: abs(exp(a) - (1 + a)))
    }
    #expect(abs(observedOrder(errors) - 2) < 0.1)
  }

  @Test("Spec: C9.2b frozen coefficients differ from DDIM by the square of the step on vp, and have order 1")
  func frozen() {
    let world = PlaneFlow.vp
    let flow = SemilinearFlow(world.denoiser)
    let x = Tensor(rows: [[0.5, -0.25]])
    let differences = [32, 64, 128].map { n in
      let grid = TimeGrid([0.6, 0.6 - 1 / Double(n)])
      return (
        steps: n,
        error: distance(
          integrate(x, along: grid, with: ExponentialEuler(), in: flow),
          integrate(x, along: grid, with: .ddim, in: world.denoiser))
      )
    }
    #expect(abs(observedOrder(differences) - 2) < 0.2)
    let errors = [160, 320].map { n in
      (
        steps: n,
        error: distance(integrate(world.start, along: world.timeGrid(n), with: ExponentialEuler(), in: flow), world.end)
      )
    }
    #expect(abs(observedOrder(errors) - 1) < 0.1)
  }

  @Test("Spec: C9.1b the integral of the noise's coefficient is DDIM's", arguments: PlaneFlow.all)
  func weights(_ world: PlaneFlow) {
    let (s, t) = (world.from, world.to)
    let end = world.schedule.kernel(at: t)
    let n = 4000
    // Substituting t = u² where σ is a root near 0 would do no harm, but no time here is near 0.
    let sum = (0...n).reduce(0.0) { sum, i in
      let tau = s + (t - s) * Double(i) / Double(n)
      let k = world.schedule.kernel(at: tau)
      let simpson = i == 0 || i == n ? 1.0 : (i % 2 == 1 ? 4 : 2)
      return sum + simpson * 0.5 * k.diffusionSquared / k.sigma * (end.alpha / k.alpha)
    }
    let integral = sum * (t - s) / Double(3 * n)
    let expected = -end.alpha * (world.schedule.kernel(at: s).noiseToSignal - end.noiseToSignal)
    #expect(abs(integral - expected) < 1e-10 * abs(expected))
    #expect(abs(ExponentialAdamsBashforth.deis(0).weights(from: s, to: t, on: world.schedule)[0] - expected) < 1e-12)
  }
}
