import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@testable import ScorefieldTool

/// Solvers side by side.
@Suite struct CompareSolversTests {
  struct Report: Decodable {
    struct Row: Decodable {
      let solver: String
      let steps: Int?
      let evaluations: Int
      let tolerance, error, order: Double?
    }
    let rows: [Row]
    let samples, dimension, reference_evaluations, network_evaluations: Int
    let tolerance: Double
  }

  private func put(_ tool: Tool) throws {
    try tool.put(
      Array(#"{"weights":[0.5,0.5],"means":[[-1,0.5],[1,-0.5]],"stds":[0.4,0.5]}"#.utf8), at: "two.json")
  }

  @Test(
    "every solver of fixed steps keeps to its evaluations, gains with them, and its error is the distance from the flow's end"
  )
  func compares() throws {
    try Tool.inTemporaryFolder { tool in
      try put(tool)
      let answer = try tool.run([
        "compare-solvers", "--model", "two.json", "--schedule", "edm", "--from", "20", "--to", "0.05", "--count", "8",
        "--nfe", "16,64", "--json", "--out", "folder",
      ])
      #expect(answer.status == 0, "\(answer.messages)")
      let report: Report = try answer.json()
      #expect(Set(report.rows.map(\.solver)) == Set(SamplerInput.fixedSteps + SamplerInput.adaptive))
      #expect(report.samples == 8 && report.dimension == 2 && report.tolerance == 1e-10)
      for name in SamplerInput.fixedSteps {
        let own = report.rows.filter { $0.solver == name }
        #expect(own.count == 2 && own[0].evaluations <= 16 && own[1].evaluations <= 64, "\(name)")
        #expect(own[1].evaluations > 56 && own[1].error! < 0.6 * own[0].error!, "\(name): \(own)")
      }
      for name in SamplerInput.adaptive {
        let own = report.rows.filter { $0.solver == name }
        #expect(own.count > 1 && own.allSatisfy { $0.steps == nil && $0.evaluations <= 64 }, "\(name): \(own)")
        #expect(
          zip(own, own.dropFirst()).allSatisfy { $0.tolerance! > $1.tolerance! && $0.evaluations < $1.evaluations })
        #expect(own.last!.error! < 0.5 * own[0].error!, "\(name): \(own)")
      }
      // By the library.
      let field = GaussianMixtureDenoiser(
        try GaussianMixture(means: Tensor(rows: [[-1, 0.5], [1, -0.5]]), standardDeviations: Tensor([0.4, 0.5])),
        on: .edm)
      var generator = Generator(seed: 0)
      let start = startingNoise([8, 2], at: 20, on: .edm, type: .float64, using: &generator)
      func grid(_ steps: Int) -> TimeGrid { .uniformHalfLogSNR(steps, over: .edm, from: 20, to: 0.05) }
      let truth = integrate(
        start, from: 20, to: 0.05, with: .dormandPrince, controller: StepController(rtol: 1e-12, atol: 1e-12),
        in: ProbabilityFlow(field)
      ).state
      let found = integrate(start, along: grid(64), with: .ddim, in: field)
      let row = report.rows.last { $0.solver == "ddim" }!
      #expect(row.steps == 64)
      #expect(abs(row.error! / (found - truth).squared().mean().item.squareRoot() - 1) < 1e-6)
      #expect(try tool.names(in: "folder") == ["solvers.html", "solvers.csv", "solvers.json"])
      let page = String(decoding: try tool.bytes(of: "folder/solvers.html"), as: UTF8.self)
      #expect(page.contains("<svg") && page.contains("dpm-solver++-3m"))
    }
  }

  @Test(
    "what cannot be compared is said",
    arguments: [
      (["--nfe", "8,4"], "--nfe: '8,4' does not list rising counts of evaluations; give some such as 6,12,24"),
      (["--nfe", "x"], "--nfe: 'x' does not list rising counts of evaluations; "),
      (["--solvers", ""], "--solvers: names none; leave it out for all"),
      (
        ["--solvers", "ddim ddpm"],
        "--solvers: 'ddpm' draws noise, and its samples do not end where the flow does; name solvers without noise, or leave it "
          + "out for all"
      ),
      (["--solvers", "ddim:eta=1"], "--solvers: 'ddim:eta=1' draws noise, "),
      (["--solvers", "edm-heun edm-heun:churn=4"], "--solvers: 'edm-heun:churn=4' draws noise, "),
      (["--solvers", "magic"], "--solver: 'magic' is no sampler; "),
      (["--count", "0"], "--count: 0 is no count of samples; give a number from 1 to 1000000"),
    ] as [([String], String)])
  func refusals(options: [String], message: String) throws {
    try Tool.inTemporaryFolder { tool in
      try put(tool)
      let answer = try tool.run(["compare-solvers", "--model", "two.json", "--schedule", "edm"] + options)
      #expect(answer.status == 64 && answer.output == "")
      #expect(answer.messages.hasPrefix("scorefield: \(message)"), "\(answer.messages)")
    }
  }
}
