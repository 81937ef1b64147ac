import Foundation
import Scorefield
import Testing

@Suite struct DemoCommandTests {
  struct Figures: Decodable {
    struct Ranking: Decodable { let sigma, held_out, damaged, noise, over_damaged, over_noise, largest_error: Double }
    struct Level: Decodable { let sigma, trace, score_norm: Double }
    struct Pair: Decodable { let eigenvalue, residual: Double }
    struct Training: Decodable {
      let steps: Int
      let is_reused: Bool
      let known_loss, held_out_loss, seconds: Double
    }
    struct Learned: Decodable {
      struct Kind: Decodable {
        let name: String
        let bits_per_dim, bits_per_dim_error: Double
      }
      struct Ordered: Decodable {
        let kind: String
        let bits_per_dim: Double
      }
      let kinds: [Kind]
      let ordered: [Ordered]
    }
    struct Estimators: Decodable {
      struct Row: Decodable {
        let name: String
        let trace_errors, trace_errors_to_vjp: [Double]
        let nats, bits_per_dim, nats_to_exact, milliseconds: Double
      }
      let sigmas: [Double]
      let rows: [Row]
    }
    let known, held_out: Int
    let rankings: [Ranking]
    let noise_levels: [Level]
    let eigenpairs: [Pair]
    let ordered_bits_per_dim: [Double]
    let training: Training
    let ranking: Learned
    let estimators: Estimators
  }

  private let data =
    URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Data").standardized.path

  @Test("the demonstration trains once, ranks digits, compares every way to the trace, and leaves a page")
  func demo() throws {
    try Tool.inTemporaryFolder { tool in
      let command = ["demo", "--data", data, "--out", "demo", "--quick", "--threads", "1", "--json"]
      let answer = try tool.run(command)
      #expect(answer.status == 0 && answer.messages == "")
      let figures: Figures = try answer.json()
      #expect(figures.known == 1697 && figures.held_out == 100)
      for ranking in figures.rankings {
        #expect(ranking.held_out < ranking.damaged && ranking.damaged < ranking.noise)
        #expect(ranking.over_damaged > 0.5 && ranking.over_noise == 1 && ranking.largest_error < 0.5)
      }
      #expect(figures.ordered_bits_per_dim == figures.ordered_bits_per_dim.sorted())
      for pair in figures.eigenpairs { #expect(pair.residual < 1e-8 && pair.eigenvalue <= 1 + 1e-12) }
      // Far in the noise the Fisher is I/σ².
      let far = try #require(figures.noise_levels.last)
      #expect(abs(far.trace * far.sigma * far.sigma / 64 - 1) < 0.02)

      #expect(!figures.training.is_reused && figures.training.steps == 20)
      #expect(figures.training.known_loss.isFinite && figures.training.held_out_loss.isFinite)
      #expect(figures.ranking.kinds.map(\.name) == ["held out", "damaged", "generated"])
      let ordered = figures.ranking.ordered.map(\.bits_per_dim)
      #expect(ordered.count == 96 && ordered == ordered.sorted())
      #expect(figures.estimators.rows.count == 8)
      let named = Dictionary(uniqueKeysWithValues: figures.estimators.rows.map { ($0.name, $0) })
      let vjp = try #require(named["full VJP"])
      #expect(vjp.nats == 0 && vjp.trace_errors_to_vjp.allSatisfy { $0 == 0 })
      // Every difference of the network is a derivative of it; probes are unbiased but noisy.
      let difference = try #require(named["finite difference"])
      #expect(difference.trace_errors_to_vjp.allSatisfy { $0 < 5 }, "\(difference.trace_errors_to_vjp)")
      // At a digit the network knows the nearest data are all there is.
      let hybrid = try #require(named["hybrid"])
      #expect(hybrid.trace_errors[0] < 0.1, "\(hybrid.trace_errors)")

      let page = try String(contentsOf: tool.folder.appending(path: "demo/report.html"), encoding: .utf8)
      #expect(page.contains("data:image/png;base64,") && page.hasSuffix("</html>\n"))
      #expect(!page.contains("http"), "the page needs nothing from elsewhere")

      // Once more, with what was trained: the same answers.
      let again: Figures = try tool.run(command).json()
      #expect(again.training.is_reused && again.training.seconds == figures.training.seconds)
      #expect(again.training.held_out_loss == figures.training.held_out_loss)
      #expect(again.ranking.ordered.map(\.bits_per_dim) == ordered)
      #expect(again.estimators.rows.map(\.nats) == figures.estimators.rows.map(\.nats))

      // The network is a model like any other.
      let likelihood = try tool.run(
        [
          "likelihood", "--model", "demo/model", "--samples", "\(data)/digits.npy", "--from", "0.5", "--to", "20",
          "--solver", "euler:2", "--json",
        ])
      #expect(likelihood.status == 0, "\(likelihood.messages)")
    }
  }

  @Test("a folder without digits, and digits that are none, are refused before anything is made")
  func refusals() throws {
    try Tool.inTemporaryFolder { tool in
      #expect(try tool.run(["demo", "--data", "nowhere"]).status == 66)
      try tool.put(levels([UInt8](repeating: 3, count: 64), shape: [1, 8, 8]), at: "digits.npy")
      let answer = try tool.run(["demo", "--data", "."])
      #expect(answer.status == 65 && answer.messages.contains("digits.npy"), "\(answer.messages)")
      #expect(try tool.names() == ["digits.npy"])
    }
  }
}
