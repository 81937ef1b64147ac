import Foundation
import Scorefield
import Testing

@Suite struct DemoCommandTests {
  struct Figures: Decodable {
    struct Ranking: Decodable { let sigma, held_out, damaged, noise, over_damaged, over_noise, largest_error: Double }
    struct Level: Decodable { let sigma, trace, score_norm: Double }
    struct Pair: Decodable { let eigenvalue, residual: Double }
    let known, held_out: Int
    let rankings: [Ranking]
    let noise_levels: [Level]
    let eigenpairs: [Pair]
    let ordered_bits_per_dim: [Double]
  }

  @Test("the demonstration ranks digits before damaged ones and these before noise, and leaves a page")
  func demo() throws {
    try Tool.inTemporaryFolder { tool in
      let data = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Data").standardized.path
      let answer = try tool.run(["demo", "--data", data, "--out", "demo", "--json"])
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

      let page = try String(contentsOf: tool.folder.appending(path: "demo/report.html"), encoding: .utf8)
      #expect(page.contains("data:image/png;base64,") && page.hasSuffix("</html>\n"))
      #expect(!page.contains("http"), "the page needs nothing from elsewhere")
    }
  }
}
