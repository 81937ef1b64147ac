import Foundation
import Scorefield
import Testing

@Suite struct FigureCommandTests {
  private let data =
    URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Data").standardized.path

  private func run(_ tool: Tool, _ figure: String, _ more: [String]) throws -> Tool.Answer {
    try tool.run(["reproduce", figure, "--quick", "--data", data, "--json", "--threads", "1"] + more)
  }

  struct Figure1: Decodable {
    struct Row: Decodable {
      let scale, accuracy, accuracy_error, bits_per_dim, bits_per_dim_error, guided_bits_per_dim: Double
    }
    struct HeldOut: Decodable { let accuracy, bits_per_dim: Double }
    let table: String
    let rows: [Row]
    let held_out: HeldOut
  }

  @Test("figure 1 has a row per scale of guidance; without guidance both likelihoods are one")
  func figure1() throws {
    try Tool.inTemporaryFolder { tool in
      let answer = try run(tool, "figure1", ["--steps", "10", "--samples", "2", "--out", "."])
      #expect(answer.status == 0 && answer.messages == "", "\(answer.messages)")
      let found: Figure1 = try answer.json()
      #expect(found.table == "figure1" && found.rows.map(\.scale) == [1, 2, 4, 8])
      #expect(found.rows[0].bits_per_dim == found.rows[0].guided_bits_per_dim)
      #expect(found.rows[3].bits_per_dim != found.rows[3].guided_bits_per_dim)
      for row in found.rows { #expect((0...100).contains(row.accuracy) && row.accuracy_error > 0) }
      #expect(found.held_out.accuracy > 90, "the classifier does not hang on the denoiser")
      #expect(try tool.names() == ["figure1.csv", "figure1.html", "figure1.json"])
      let csv = try String(contentsOf: tool.folder.appending(path: "figure1.csv"), encoding: .utf8)
      #expect(csv.split(separator: "\n").count == 5)
    }
  }

  struct Figure2: Decodable {
    struct Row: Decodable {
      let label: Int?
      let quarter: Int
      let bits_per_dim: Double
    }
    struct Sample: Decodable {
      let label: Int
      let bits_per_dim: Double
    }
    struct Correlation: Decodable {
      let with: String
      let spearman, standard_error, p: Double
    }
    let table: String
    let rows: [Row]
    let samples: [Sample]
    let correlations: [Correlation]
  }

  @Test("figure 2 orders the samples of each class, the likeliest first, and says what goes with it")
  func figure2() throws {
    try Tool.inTemporaryFolder { tool in
      let answer = try run(tool, "figure2", ["--steps", "10", "--samples", "8", "--out", "."])
      #expect(answer.status == 0 && answer.messages == "", "\(answer.messages)")
      let found: Figure2 = try answer.json()
      #expect(found.table == "figure2" && found.samples.count == 24)
      for label in [3, 5, 8] {
        let own = found.samples.filter { $0.label == label }.map(\.bits_per_dim)
        #expect(own.count == 8 && own == own.sorted())
      }
      let quarters = found.rows.filter { $0.label == nil }.map(\.bits_per_dim)
      #expect(quarters.count == 4 && quarters == quarters.sorted())
      for correlation in found.correlations {
        #expect(abs(correlation.spearman) <= 1 && (0...1).contains(correlation.p))
      }
      #expect(try tool.names() == ["figure2.csv", "figure2.html", "figure2.json"])
    }
  }
}
