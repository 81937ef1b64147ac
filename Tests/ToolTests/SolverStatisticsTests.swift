import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@testable import ScorefieldTool

/// The statistics of DPM-Solver-v3 on the command line.
@Suite struct SolverStatisticsTests {
  private struct Report: Decodable {
    let trajectories, nodes, steps, dimension, network_evaluations: Int
    let method: String
  }
  private struct Samples: Decodable { let nfe: Int }

  private func put(_ tool: Tool) throws {
    try tool.put(
      Array(#"{"weights":[0.5,0.5],"means":[[-1,0.5],[1,-0.5]],"stds":[0.4,0.5]}"#.utf8), at: "two.json")
    try tool.put(
      Array(#"{"weights":[0.5,0.5],"means":[[-1,0.5],[1,-0.6]],"stds":[0.4,0.5]}"#.utf8), at: "other.json")
    try tool.put(Array(#"{"weights":[1],"means":[[-1,0.5,2]],"stds":[0.4]}"#.utf8), at: "three.json")
  }

  private let measuring = [
    "solver-statistics", "--model", "two.json", "--schedule", "vp", "--from", "0.9", "--to", "0.05", "--count", "20",
    "--batch",
    "8", "--nodes", "13", "--steps", "24", "--out", "s.safetensors",
  ]

  @Test("Spec: C9.7a statistics are the library's, and sampling with them is too")
  func measures() throws {
    try Tool.inTemporaryFolder { tool in
      try put(tool)
      let answer = try tool.run(measuring + ["--json", "--seed", "3"])
      #expect(answer.status == 0, "\(answer.messages)")
      let report: Report = try answer.json()
      #expect(report.trajectories == 20 && report.nodes == 13 && report.steps == 24 && report.dimension == 2)
      #expect(report.method == "exact" && report.network_evaluations == 3 * (13 * 3 + 12))

      let field = GaussianMixtureDenoiser(
        try GaussianMixture(means: Tensor(rows: [[-1, 0.5], [1, -0.5]]), standardDeviations: Tensor([0.4, 0.5])),
        on: .variancePreserving)
      var measurement = StatisticsMeasurement(
        of: field, fisher: ExactFisher(field), from: 0.9, to: 0.05, nodes: 13, steps: 24)
      var generator = Generator(seed: 3)
      for size in [8, 8, 4] {
        measurement.add(
          startingNoise([size, 2], at: 0.9, on: .variancePreserving, type: .float64, using: &generator))
      }
      let file = try StatisticsFile(tool.folder.appending(component: "s.safetensors").path)
      expectClose(file.statistics.l, measurement.statistics.l, within: 1e-12)
      expectClose(file.statistics.a, measurement.statistics.a, within: 1e-6)
      expectClose(file.statistics.b, measurement.statistics.b, within: 1e-6)

      for (order, start) in [(1, MultistepStart.lowerOrder), (2, .lowerOrder), (3, .singleStep)] {
        let name = "dpm-solver-v3-\(order)" + (start == .singleStep ? ":start=single-step" : "")
        let sampled = try tool.run([
          "sample", "--model", "two.json", "--schedule", "vp", "--from", "0.9", "--to", "0.05", "--steps", "10",
          "--count", "5",
          "--solver", name, "--statistics", "s.safetensors", "--no-final-denoise", "--json", "--out", "x.npy",
        ])
        #expect(sampled.status == 0, "\(sampled.messages)")
        #expect(try sampled.json(Samples.self).nfe == (order == 3 ? 12 : 10))
        var generator = Generator(seed: 0)
        let noise = startingNoise([5, 2], at: 0.9, on: .variancePreserving, type: .float64, using: &generator)
        let expected = integrate(
          noise, along: .uniformHalfLogSNR(10, over: .variancePreserving, from: 0.9, to: 0.05),
          with: DPMSolverV3(order, file.statistics, start: start), in: field)
        let found = Tensor(try NPY.read(tool.folder.appending(component: "x.npy").path))
        #expect(found.isIdentical(to: expected))
      }

      // In compare-solvers they stand beside the others.
      let compared = try tool.run([
        "compare-solvers", "--model", "two.json", "--schedule", "vp", "--from", "0.9", "--to", "0.05", "--count", "8",
        "--nfe", "24",
        "--statistics", "s.safetensors", "--json",
      ])
      #expect(compared.status == 0, "\(compared.messages)")
      let rows: CompareSolversTests.Report = try compared.json()
      #expect(Set(rows.rows.map(\.solver)) == Set(SamplerInput.fixedSteps + SamplerInput.informed))
      func error(_ name: String) -> Double { rows.rows.first { $0.solver == name }!.error! }
      #expect(error("dpm-solver-v3-1") < error("ddim") && error("dpm-solver-v3-2") < error("dpm-solver-v3-1"))
    }
  }

  @Test("the same seed writes the same file, and probes another")
  func deterministic() throws {
    try Tool.inTemporaryFolder { tool in
      try put(tool)
      var files: [[UInt8]] = []
      for extra in [[], [], ["--seed", "1"], ["--probes", "2"], ["--method", "jvp"]] as [[String]] {
        let answer = try tool.run(measuring + extra)
        #expect(answer.status == 0, "\(answer.messages)")
        #expect(answer.output.hasPrefix("statistics of 20 trajectories at 13 noise levels in s.safetensors, "))
        files.append(Array(try tool.bytes(of: "s.safetensors")))
      }
      #expect(files[0] == files[1] && files[0] != files[2] && files[0] != files[3])
    }
  }

  @Test("a network's statistics are measured in its own element type, and know the network from another")
  func network() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(SplitMix(seed: 1).unit([64, 3]).doubles, shape: [64, 3], at: "data.npy")
      for (name, seed) in [("one", "0"), ("two", "1")] {
        let trained = try tool.run([
          "train", "--data", "data.npy", "--schedule", "vp", "--objective", "denoise", "--network", "mlp", "--steps",
          "3",
          "--batch", "8", "--seed", seed, "--out", name,
        ])
        #expect(trained.status == 0, "\(trained.messages)")
      }
      for method in ["vjp", "jvp", "finite-difference"] {
        let answer = try tool.run([
          "solver-statistics", "--model", "one", "--count", "8", "--nodes", "7", "--steps", "12", "--from", "0.9",
          "--to", "0.05",
          "--method", method, "--out", "\(method).safetensors", "--json",
        ])
        #expect(answer.status == 0, "\(answer.messages)")
        #expect(try answer.json(Report.self).method == method)
      }
      let files = try ["vjp", "jvp", "finite-difference"].map {
        try StatisticsFile(tool.folder.appending(component: "\($0).safetensors").path).statistics
      }
      expectClose(files[1].l, files[0].l, within: 1e-5)
      expectClose(files[2].l, files[0].l, within: 2e-2)
      func sampled(_ model: String) throws -> Tool.Answer {
        try tool.run([
          "sample", "--model", model, "--from", "0.9", "--to", "0.05", "--solver", "dpm-solver-v3-2", "--statistics",
          "vjp.safetensors", "--steps", "5", "--count", "4", "--out", "x.npy",
        ])
      }
      #expect(try sampled("one").status == 0)
      let other = try sampled("two")
      #expect(other.status == 65)
      #expect(
        other.messages.contains("vjp.safetensors: holds the statistics of another model; measure those of this one"))
    }
  }

  @Test("statistics that are missing, of no use or another model's are said")
  func refusals() throws {
    try Tool.inTemporaryFolder { tool in
      try put(tool)
      #expect(try tool.run(measuring).status == 0)
      try tool.put(Array("no statistics".utf8), at: "bad.safetensors")
      func expect(
        _ options: [String], _ status: Int32, _ line: String, sourceLocation: SourceLocation = #_sourceLocation
      )
        throws
      {
        let answer = try tool.run(options)
        #expect(answer.status == status && answer.output == "", sourceLocation: sourceLocation)
        #expect(answer.messages.hasPrefix("scorefield: \(line)"), "\(answer.messages)", sourceLocation: sourceLocation)
      }
      func sampling(_ model: String, _ solver: String, _ rest: [String]) -> [String] {
        ["sample", "--model", model, "--schedule", "vp", "--count", "2", "--out", "x.npy", "--solver", solver] + rest
      }
      let given = ["--statistics", "s.safetensors", "--from", "0.9", "--to", "0.05"]
      try expect(
        sampling("two.json", "dpm-solver-v3-2", []), 64,
        "--solver: 'dpm-solver-v3-2' needs the statistics of the model; measure them with 'scorefield solver-statistics' and "
          + "give the file with --statistics")
      try expect(
        sampling("two.json", "ddim", given), 64,
        "--statistics: 'ddim' has no use for them; leave --statistics out, or use dpm-solver-v3-2")
      try expect(
        sampling("two.json", "dpm-solver-v3-2", ["--statistics", "none.safetensors"]), 66, "none.safetensors: ")
      try expect(sampling("two.json", "dpm-solver-v3-2", ["--statistics", "bad.safetensors"]), 65, "bad.safetensors: ")
      try expect(
        sampling("other.json", "dpm-solver-v3-2", given), 65,
        "s.safetensors: holds the statistics of another model; measure those of this one")
      try expect(
        sampling("three.json", "dpm-solver-v3-2", given), 65,
        "s.safetensors: holds statistics of samples of shape [2], and the model's are of shape [3]; measure those of this model"
      )
      try expect(
        sampling("two.json", "dpm-solver-v3-2", ["--statistics", "s.safetensors"]), 65,
        "s.safetensors: holds statistics for log(α/σ) from -4.075 to 1.748, and the times reach from -5.025 to 4.558; measure them "
          + "between these times")
      try expect(
        sampling("two.json", "dpm-solver-v3-4", given), 64, "--solver: 'dpm-solver-v3-4' is no sampler; ")
      let compare = ["compare-solvers", "--model", "two.json", "--schedule", "vp", "--count", "2"]
      try expect(
        compare + ["--solvers", "ddim dpm-solver-v3-1"], 64,
        "--solver: 'dpm-solver-v3-1' needs the statistics of the model; ")
      try expect(
        compare + ["--solvers", "ddim"] + given, 64,
        "--statistics: none of the solvers has a use for them; leave --statistics out, or use dpm-solver-v3-2")
      let measure = ["solver-statistics", "--model", "two.json", "--schedule", "vp", "--out"]
      try expect(
        measure + ["s.npy"], 64, "--out: 's.npy' ends in no format that is known; give a name ending in .safetensors")
      try expect(
        measure + ["t.safetensors", "--nodes", "1"], 64, "--nodes: 1 is out of range; give a number from 2 to 100000")
      try expect(
        measure + ["t.safetensors", "--method", "null"], 64,
        "--method: 'null' gives no Jacobian here; use one of exact, vjp, jvp, finite-difference")
      try expect(
        measure + ["nowhere/t.safetensors"], 74,
        "nowhere/t.safetensors: its folder does not exist; make the folder first")
      try expect(
        measure + ["t.safetensors", "--from", "0.5", "--to", "0.5"], 64, "--from: 0.5 is not after --to 0.5; ")
      #expect(try !tool.names().contains("t.safetensors"))
    }
  }
}
