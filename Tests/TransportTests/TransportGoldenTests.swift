import Scorefield
import ScorefieldTestSupport
import Testing

/// Plans against SciPy and POT, by `Tests/Golden/make_transport.py`.
@Suite struct TransportGoldenTests {
  struct Case: Decodable, Sendable {
    let kind, name: String
    let seed, n, m, d: Int
    let weighted: Bool
    let power, epsilon: Double?

    var x: Tensor { SplitMix(seed: seed).unit([n, d]) }
    var y: Tensor { SplitMix(seed: seed + 1).unit([m, d]) }
    var a: Tensor? {
      weighted ? (SplitMix(seed: seed + 2).uniform([n]) + 0.1) * Tensor((0..<n).map { $0 % 5 == 1 ? 0.0 : 1 }) : nil
    }
    var b: Tensor? { weighted ? SplitMix(seed: seed + 3).uniform([m]) + 0.1 : nil }
  }

  static let counts = [("assignment", 6), ("plan", 6), ("line", 4), ("sinkhorn", 2)]

  @Test("plans and their values are those of SciPy and POT (Spec: C7.2a, C7.2d)", arguments: counts)
  func peers(_ kind: String, _ count: Int) throws {
    let golden = try Golden("transport")
    let cases = try golden.metadata("cases", as: [Case].self).filter { $0.kind == kind }
    #expect(cases.count == count)
    for test in cases {
      let cost = squaredCost(test.x, test.y)
      let value = try golden["\(test.name).value"].item
      func close(_ found: Double) { #expect(abs(found - value) <= 1e-12 * value, "\(test.name)") }
      switch kind {
      case "assignment":
        let plan = optimalAssignment(cost)
        close(plan.value)
        #expect(plan.columns.integers == (try golden["\(test.name).columns"].integers))
      case "plan":
        let plan = optimalTransport(cost, from: test.a, to: test.b)
        close(plan.value)
        #expect(difference(plan.matrix, try golden["\(test.name).plan"]) < 1e-14, "\(test.name)")
      case "line":
        close(
          optimalTransportOnLine(
            test.x.reshaped(-1), test.y.reshaped(-1), power: test.power!, from: test.a, to: test.b
          ).value)
      default:
        let plan = Sinkhorn(epsilon: test.epsilon!, tolerance: 1e-14).plan(cost, from: test.a, to: test.b)
        close(plan.value)
        #expect(difference(plan.matrix, try golden["\(test.name).plan"]) < 1e-12, "\(test.name)")
      }
    }
  }
}
