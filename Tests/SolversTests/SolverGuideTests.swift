import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// The guide's tables are what the methods claim and what is measured here.
@Suite struct SolverGuideTests {
  /// The table of methods without chance, as it should stand in the guide.
  static func table() throws -> String {
    let flow = LineFlow.mixture(on: .variancePreserving)
    let rows = try (SolverClaim.all + SolverClaim.pairs).map { claim in
      let steps = [8, 16].map { $0 * claim.firstSteps }
      let errors = try ConvergenceTests.errors(of: claim, on: flow, .halfLogSNR, steps: steps).all
      let order = String(format: "%.1f", observedOrder(errors))
      return "| `\(claim.description)` | \(claim.order) | \(order) | \(claim.evaluations) | \(claim.source) |"
    }
    return (["| `--solver` | order | measured | evaluations | source |", "|---|---|---|---|---|"] + rows)
      .joined(separator: "\n")
  }

  /// The table of those that draw noise.
  static func stochasticTable() throws -> String {
    let rows = try StochasticClaim.all.map { claim in
      let steps = [80, 160, 320]
      let errors = try steps.map { try claim.error($0, on: .variancePreserving) }
      let order = String(
        format: "%.1f", observedOrder(ConvergenceTests.Errors(of: errors, claim.order, steps).leading))
      return "| `\(claim.description)` | \(claim.order) | \(order) | \(claim.evaluations) | \(claim.source) |"
    }
    return
      (["| `--solver` | order in distribution | measured | evaluations | source |", "|---|---|---|---|---|"] + rows)
      .joined(separator: "\n")
  }

  @Test(
    "Spec: C9.6 the guide's tables of solvers are the measured ones", arguments: ["Solvers", "Sampling-with-noise"])
  func guide(_ name: String) throws {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let page = tests.deletingLastPathComponent().appending(path: "Sources/Scorefield/Scorefield.docc/\(name).md")
    let text = try String(contentsOf: page, encoding: .utf8)
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard let first = lines.firstIndex(where: { $0.hasPrefix("| `--solver` | order") }) else {
      Issue.record("\(page.path) has no table of solvers")
      return
    }
    let end = lines[first...].firstIndex { !$0.hasPrefix("|") } ?? lines.endIndex
    let table = try name == "Solvers" ? Self.table() : Self.stochasticTable()
    if ProcessInfo.processInfo.environment["SCOREFIELD_WRITE_GUIDE"] == "1" {
      let written = lines[..<first].map(String.init) + [table] + lines[end...].map(String.init)
      try written.joined(separator: "\n").write(to: page, atomically: true, encoding: .utf8)
    } else {
      #expect(lines[first..<end].joined(separator: "\n") == table, "SCOREFIELD_WRITE_GUIDE=1 swift test writes it anew")
    }
  }
}
