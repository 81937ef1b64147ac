import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct TourTests {
  @Test("the tour in the README runs, and its last line is the score again")
  func tour() throws {
    // tour begins
    let data = Tensor(rows: [[1, 0], [-1, 0], [0, 1]])
    let model = EmpiricalDenoiser(data: data, on: .variancePreserving)

    let x = Tensor(rows: [[0.3, -0.2], [0.1, 0.9]])
    let posterior = model.posterior(x, at: 0.5)
    let (density, score, trace) = (posterior.logDensity, posterior.score, posterior.fisherTrace)

    let fisher = ExactFisher(model).fisher(at: x, time: 0.5)
    let along = fisher.matvec(score)

    let steepest = gradient(at: x) { model.posterior($0, at: 0.5).logDensity.sum() }
    // tour ends

    expectClose(steepest, score, within: 1e-12)
    #expect(density.shape == [2] && trace.shape == [2] && along.shape == [2, 2])
    expectClose(fisher.trace(), trace, within: 1e-14)
  }

  @Test("the lines of the tour are those of the README")
  func same() throws {
    let here = URL(filePath: #filePath)
    let readme = try String(
      contentsOf: here.deletingLastPathComponent().appending(path: "../../README.md"), encoding: .utf8)
    let source = try String(contentsOf: here, encoding: .utf8)
    let lines = source.split(separator: "\n", omittingEmptySubsequences: false)
    let begin = try #require(lines.firstIndex { $0.hasSuffix("// tour begins") })
    let end = try #require(lines.firstIndex { $0.hasSuffix("// tour ends") })
    let tour = lines[(begin + 1)..<end].map { $0.hasPrefix("    ") ? $0.dropFirst(4) : $0 }.joined(separator: "\n")
    #expect(readme.contains("```swift\nimport Scorefield\n\n\(tour)\n```"))
  }
}
