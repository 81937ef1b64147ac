import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct TransportCommandTests {
  struct Report: Decodable {
    struct Cost: Decodable {
      let flow, optimal, excess: Double
      let changed: Int
    }
    let outcome, answer, method: String
    let from, to, from_time, to_time, seconds: Double
    let asymmetry, smallest_eigenvalue, error_bound, endpoint_error: [Double]
    let off_diagonal_index, asymmetry_bound: [Double]?
    let answers: [String]
    let mean_asymmetry, largest_asymmetry, least_eigenvalue, largest_error_bound: Double
    let cost: Cost?
    let largest_curl, largest_commutator: Double?
    let pairs: Int?
    let confidence: Double?
    let samples, dimension, nfe, products, network_evaluations, peak_memory_bytes: Int
  }

  let corner: [Double] = [0.5, 0, 0, -0.5, 0, 0]
  let starts: [Double] = [1, 1, 0.3, -1.2, -1, 0.5, 0.25, -0.05]

  @Test("Spec: F6 the arrays and the JSON hold the anchors, and the library's answers")
  func answers() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(corner, shape: [3, 2], at: "points.npy")
      try tool.put(starts, shape: [4, 2], at: "x.npy")
      let answer = try tool.run([
        "transport", "--model", "points.npy", "--schedule", "edm", "--start", "x.npy", "--from", "0.999", "--to",
        "1e-3",
        "--out", "t.safetensors", "--along", "way.safetensors", "--json",
      ])
      #expect(answer.status == 0 && answer.messages == "")
      let way = try tool.arrays(in: "way.safetensors")
      #expect(Set(way.names) == ["ratios", "points", "jacobians", "asymmetry", "curl", "commutator"])
      #expect(try way.shape(of: "jacobians") == [41, 4, 2, 2] && way.shape(of: "points") == [41, 4, 2])
      let field = EmpiricalDenoiser(data: Tensor(corner, shape: [3, 2]), on: .edm)
      let x = Tensor(starts, shape: [4, 2])
      let truth = transportVerdict(at: x, under: field, fisher: ExactFisher(field), from: 0.999, to: 1e-3)
      let file = try tool.arrays(in: "t.safetensors")
      #expect(
        Set(file.names) == [
          "endpoint", "jacobian", "asymmetry", "off_diagonal_index", "smallest_eigenvalue", "error_bound",
        ])
      func same(_ name: String, _ expected: Tensor) throws {
        expectClose(Tensor(try file.array(named: name)), expected, within: 1e-12, "\(name)")
      }
      try same("endpoint", truth.jacobian.endpoint)
      try same("jacobian", truth.jacobian.matrix)
      try same("asymmetry", truth.asymmetry)
      try same("off_diagonal_index", truth.offDiagonalIndex)
      try same("smallest_eigenvalue", truth.smallestEigenvalue)
      try same("error_bound", truth.errorBound)

      let report: Report = try answer.json()
      expectClose(
        Tensor(report.off_diagonal_index!), Tensor([0.16300550, 0.06748670, 0.08920520, 0.31718986]), within: 3e-8)
      #expect(report.largest_commutator! == Tensor(try way.array(named: "commutator")).max().item)
      #expect(report.largest_curl! < 1e-12 && report.largest_commutator! > 0.01)
      #expect(report.answer == "not-optimal" && report.answers == Array(repeating: "not-optimal", count: 4))
      #expect(report.outcome == "converged" && report.method == "exact" && report.pairs == nil)
      #expect(abs(report.from_time - 0.999) < 1e-12 && abs(report.to_time - 1e-3) < 1e-15)
      #expect(report.samples == 4 && report.dimension == 2 && report.products == 2 * report.nfe && report.nfe > 100)
      #expect(report.largest_asymmetry == report.asymmetry.max() && report.least_eigenvalue > 0)
      let costs = (truth.jacobian.endpoint - x).squared().sum(-1).mean().item
      #expect(abs(report.cost!.flow - costs) < 1e-9 && report.cost!.optimal <= report.cost!.flow + 1e-12)
    }
  }

  @Test("Spec: F6 affine data are called optimal on every schedule, below the first of its times too")
  func affine() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put([0.2, -0.4, 0.2, 0, 0.2, 0.9], shape: [3, 2], at: "points.npy")
      for schedule in ["ve", "vp", "subvp", "edm"] {
        let answer = try tool.run([
          "transport", "--model", "points.npy", "--schedule", schedule, "--count", "20", "--from", "0.999", "--to",
          "1e-3",
          "--rtol", "1e-5", "--json",
        ])
        let report: Report = try answer.json()
        #expect(report.answer == "optimal" && report.largest_asymmetry < 1e-9, "\(schedule)")
        #expect(report.off_diagonal_index!.allSatisfy { $0 < 1e-9 })
        // The flow of an optimal map pairs as no other does.
        #expect(report.cost!.changed == 0 && abs(report.cost!.excess) < 1e-9, "\(schedule)")
      }
    }
  }

  @Test(
    "a trained model of 64 dimensions answers by its whole Jacobian and by probes alike; a clear line says what is seen"
  )
  func learned() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(levels((0..<64 * 200).map { UInt8(min(16, ($0 * 7919) % 23)) }, shape: [200, 64]), at: "digits.npy")
      let training = try tool.run([
        "train", "--data", "digits.npy", "--levels", "17", "--schedule", "edm", "--objective", "denoise", "--network",
        "mlp", "--width", "64", "--depth", "2", "--steps", "60", "--batch", "64", "--out", "model",
      ])
      #expect(training.status == 0, "\(training.messages)")
      func ask(_ more: [String]) throws -> Report {
        let answer = try tool.run(
          [
            "transport", "--model", "model", "--count", "3", "--from", "2", "--to", "0.5", "--dtype", "float64",
            "--json",
          ]
            + more)
        #expect(answer.status == 0, "\(answer.messages)")
        return try answer.json()
      }
      let (dense, probed) = (try ask([]), try ask(["--probes", "60"]))
      #expect(dense.method == "jvp" && dense.dimension == 64 && probed.pairs == 60 && probed.confidence == 0.95)
      #expect(probed.products == 120 * probed.nfe && probed.off_diagonal_index == nil)
      for (index, asymmetry) in dense.asymmetry.enumerated() {
        #expect(abs(probed.asymmetry[index] / asymmetry - 1) < 0.4)
        #expect(probed.asymmetry_bound![index] >= asymmetry)
        // More probes than dimensions.
        #expect(abs(probed.smallest_eigenvalue[index] - dense.smallest_eigenvalue[index]) < 1e-5)
      }
      #expect(dense.answers == probed.answers)
    }
  }

  @Test(
    "what cannot be is one line, the right status, nothing on stdout and no file",
    arguments: [
      (["--from", "2", "--to", "2"], 64, "--from: 2.0 is the same as --to; give two noise-to-signal ratios"),
      (
        ["--from", "200", "--to", "1"], 64,
        "--from: 200.0 is outside 0.000100000…100.000, the noise-to-signal ratios of 'edm'; choose a ratio in that range"
      ),
      (
        ["--from", "2", "--to", "0"], 64,
        "--to: 0.0 is outside 0.000100000…100.000, the noise-to-signal ratios of 'edm'; choose a ratio in that range"
      ),
      (
        ["--from", "2", "--to", "1", "--rtol", "0"], 64, "--rtol: 0.0 is no tolerance; give a number between 0 and 1"
      ),
      (
        ["--from", "2", "--to", "1", "--method", "vjp"], 64,
        "--method: 'vjp' is no way to F v along the flow; use one of exact, jvp, finite-difference"
      ),
      (
        ["--from", "2", "--to", "1", "--probes", "20000"], 64,
        "--probes: 20000 is no count of pairs; give a number from 1 to 10000, or 0 for the whole Jacobian"
      ),
      (
        ["--from", "2", "--to", "1", "--confidence", "1"], 64,
        "--confidence: 1.0 is no probability; give a number between 0 and 1"
      ),
      (
        ["--from", "2", "--to", "1", "--count", "3"], 64,
        "--start: and --count are both given; give either the states to start from or how many to draw"
      ),
    ])
  func refusals(options: [String], status: Int32, message: String) throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(corner, shape: [3, 2], at: "points.npy")
      try tool.put(starts, shape: [4, 2], at: "x.npy")
      let answer = try tool.run(
        ["transport", "--model", "points.npy", "--schedule", "edm", "--start", "x.npy", "--out", "t.safetensors"]
          + options)
      #expect(answer.status == status && answer.output == "" && answer.messages == "scorefield: \(message)\n")
      #expect(try !tool.names().contains("t.safetensors"))
    }
  }

  @Test("states of another shape, and states that are no numbers, are named")
  func states() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(corner, shape: [3, 2], at: "points.npy")
      try tool.put([1, 2, 3], shape: [1, 3], at: "wide.npy")
      try tool.put([1, .nan], shape: [1, 2], at: "nan.npy")
      func ask(_ file: String) throws -> Tool.Answer {
        try tool.run([
          "transport", "--model", "points.npy", "--schedule", "edm", "--start", file, "--from", "1", "--to", "0.1",
        ])
      }
      let (wide, missing, nan) = (try ask("wide.npy"), try ask("none.npy"), try ask("nan.npy"))
      #expect(
        wide.status == 65
          && wide.messages.hasPrefix("scorefield: wide.npy: holds samples of shape [3], the model of shape [2]"))
      #expect(missing.status == 66 && missing.messages.hasPrefix("scorefield: none.npy: "))
      #expect(nan.status == 65 && nan.messages.hasPrefix("scorefield: nan.npy: "))
    }
  }
}
