import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct LikelihoodCommandTests {
  struct Report: Decodable {
    let log_likelihood, bits_per_dim: [Double]
    let standard_error, prior_error: [Double?]
    let mean_log_likelihood, mean_bits_per_dim, seconds: Double
    let nfe, network_evaluations, peak_memory_bytes: Int
    let outcome, dequantize: String
    let levels: Int?
    let spacing: Double?
    let warnings: [String]
  }

  static let mixture = #"{"weights":[0.3,0.7],"means":[[-2],[1.5]],"stds":[0.4,0.6]}"#

  @Test("Spec: B4.15 a mixture's likelihood is the specification's, under either prior")
  func mixtureLikelihood() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(Array(Self.mixture.utf8), at: "m.json")
      try tool.put([-2, 0.25, 1.5], shape: [3, 1], at: "x.npy")
      let call = [
        "likelihood", "--model", "m.json", "--schedule", "vp", "--samples", "x.npy", "--from", "1e-4", "--solver",
        "dopri5:rtol=1e-9,atol=1e-9", "--json", "--out", "l.safetensors",
      ]
      let exact: Report = try tool.run(call).json()
      let expected = [-1.206647053, -2.934869699, -0.764796831]
      for (found, wanted) in zip(exact.log_likelihood, expected) { #expect(abs(found - wanted) < 1e-7) }
      // Real numbers have no scaling term.
      for (bits, nats) in zip(exact.bits_per_dim, exact.log_likelihood) { #expect(abs(bits + nats / log(2)) < 1e-12) }
      #expect(exact.outcome == "converged" && exact.dequantize == "none" && exact.levels == nil)
      #expect(exact.nfe > 10 && exact.warnings == [] && exact.standard_error == [0, 0, 0])

      let file = try tool.arrays(in: "l.safetensors")
      #expect(Set(file.names) == ["log_likelihood", "bits_per_dim", "standard_error", "latent", "prior_error"])
      #expect(Tensor(try file.array(named: "log_likelihood")).doubles == exact.log_likelihood)
      #expect(try file.shape(of: "latent") == [3, 1])

      let normal: Report = try tool.run(call + ["--prior", "normal"]).json()
      let errors = normal.prior_error.compactMap { $0 }
      for index in 0..<3 {
        #expect(abs(normal.log_likelihood[index] + errors[index] - expected[index]) < 1e-7)
      }
    }
  }

  @Test("grey levels get the scaling term and are dequantised, real numbers are taken as they are")
  func greyLevels() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(Array(#"{"weights":[1],"means":[[0,0]],"stds":[3]}"#.utf8), at: "m.json")
      try tool.put(levels([8, 8, 0, 16], shape: [2, 2]), at: "x.npy")
      let call = [
        "likelihood", "--model", "m.json", "--schedule", "edm", "--samples", "x.npy", "--levels", "17", "--solver",
        "dopri5:rtol=1e-8,atol=1e-8", "--json",
      ]
      let found: Report = try tool.run(call + ["--dequantize", "none"]).json()
      // N(0, 9 I) at (0, 0) and (−1, 1), and log₂(16/2) bits for the scaling to [−1, 1].
      for (bits, square) in zip(found.bits_per_dim, [0.0, 2.0]) {
        let nats = -square / 18 - log(2 * .pi * 9)
        #expect(abs(bits - (-nats / (2 * log(2)) + 3)) < 1e-5)
      }
      #expect(found.levels == 17)

      let dequantized: Report = try tool.run(call).json()
      #expect(dequantized.dequantize == "uniform:1" && dequantized.bits_per_dim != found.bits_per_dim)
      for (a, b) in zip(dequantized.bits_per_dim, found.bits_per_dim) { #expect(abs(a - b) < 0.02) }
      let drawn: Report = try tool.run(call + ["--dequantize", "truncated-normal:4", "--from", "0.05"]).json()
      #expect(drawn.standard_error.allSatisfy { $0 ?? 0 > 0 })
      // One draw knows nothing of its spread.
      #expect(dequantized.standard_error == [nil, nil])
    }
  }

  @Test("the same seed gives the same bits, another seed others")
  func seeds() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(Array(#"{"weights":[1,1],"means":[[0,0],[1,2]],"stds":[[3,1],[0.5,0.2]]}"#.utf8), at: "m.json")
      try tool.put([0.3, -1, 0.5, 0.5], shape: [2, 2], at: "x.npy")
      let call = [
        "likelihood", "--model", "m.json", "--schedule", "flow", "--samples", "x.npy", "--solver", "rk4:10", "--trace",
        "hutchinson:3", "--json",
      ]
      let (a, b, c): (Report, Report, Report) = (
        try tool.run(call + ["--seed", "1"]).json(), try tool.run(call + ["--seed", "1"]).json(),
        try tool.run(call + ["--seed", "2"]).json()
      )
      #expect(a.log_likelihood == b.log_likelihood && a.log_likelihood != c.log_likelihood)
      #expect(a.standard_error.allSatisfy { $0 ?? 0 > 0 } && a.nfe == 40)
    }
  }

  @Test("every trace answers, also for a single sample", arguments: ["vjp", "jvp", "finite-difference", "exact"])
  func traces(_ trace: String) throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(Array(Self.mixture.utf8), at: "m.json")
      try tool.put([0.25], shape: [1], at: "x.npy")
      let found: Report = try tool.run([
        "likelihood", "--model", "m.json", "--schedule", "vp", "--samples", "x.npy", "--from", "1e-4", "--trace", trace,
        "--solver", "dopri5:rtol=1e-7,atol=1e-7", "--json",
      ]).json()
      #expect(abs(found.log_likelihood[0] + 2.934869699) < 1e-5)
    }
  }

  @Test("a likelihood below the points' spacing is answered with a warning")
  func spacing() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put([0, 0, 1, 0, 0, 1], shape: [3, 2], at: "points.npy")
      try tool.put([0.1, 0.2], shape: [1, 2], at: "x.npy")
      let call = [
        "likelihood", "--model", "points.npy", "--schedule", "edm", "--samples", "x.npy", "--json", "--from",
      ]
      let low = try tool.run(call + ["0.1"])
      #expect(
        low.messages
          == "scorefield: warning: --from: sigma/alpha there is 0.100, below the points' median spacing 1.00; "
          + "choose a later time, or read the answer as the distance to the nearest point\n")
      let report: Report = try low.json()
      #expect(low.status == 0 && report.spacing == 1 && report.warnings.count == 1)
      let high = try tool.run(call + ["1.5"])
      #expect(high.status == 0 && high.messages == "")
    }
  }
}
