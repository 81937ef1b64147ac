import Scorefield
import ScorefieldTestSupport
import Testing

/// Tables and figures of the papers.
@Suite struct ReproduceTests {
  struct Answer: Decodable {
    struct Row: Decodable {
      let method: String
      let time, l1, median, mean: Double
      let paper: Double?
      let spread: [Double]
      let exact_share, largest_error_to_bound: Double?
    }
    let table: String
    let rows: [Row]
    let likelihoods: [LikelihoodRow]
    struct LikelihoodRow: Decodable {
      let method: String
      let nats, bits_per_dim: Double
    }
    let seconds: Double

    func l1(_ method: String) -> [Double] { rows.filter { $0.method == method }.map(\.l1) }
  }

  @Test(
    "Spec: F3 table 2 in two minutes: the trace head, the hybrid, the printed form and its bound",
    .tags(.slow), .whenAllTestsRun)
  func table2() throws {
    try Tool.inTemporaryFolder { tool in
      let answer = try tool.run(["reproduce", "table2", "--quick", "--json", "--out", "t"])
      #expect(answer.status == 0, "\(answer.messages)")
      let found: Answer = try answer.json()
      #expect(found.table == "table2")
      // The targets of the whole budget are .01 .1 .7 2 5 20.
      for (l1, limit) in zip(found.l1("trace head"), [0.01, 0.1, 1.4, 4, 10, 30]) { #expect(l1 <= limit) }
      let hybrid = found.l1("hybrid")
      #expect(hybrid[4] <= 2 && hybrid[5] <= 0.01)
      // What needs no training is the same on any machine.
      for (l1, expected) in zip(found.l1("null d/σ²"), [0.0231, 0.85, 14.3, 117, 196, 23]) {
        #expect(abs(l1 / expected - 1) < 0.1)
      }
      // As printed: excellent where the noise is large, useless where it is small.
      let printed = found.l1("DF-TM as printed")
      #expect(printed[0] < 1 && printed[5] > 1000)
      for row in found.rows where row.method == "DF-TM as printed" {
        #expect(try #require(row.largest_error_to_bound) <= 1 + 1e-6)
      }
      #expect(try tool.names().isSuperset(of: ["t"]))
      let exact = try #require(found.likelihoods.first { $0.method == "exact field" })
      let head = try #require(found.likelihoods.first { $0.method == "trace network, trace head" })
      #expect(exact.nats < 0.05 && head.nats < 1.5)
    }
  }
}
