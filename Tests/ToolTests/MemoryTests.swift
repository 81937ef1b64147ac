import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct MemoryTests {
  struct Report: Decodable { let peak_memory_bytes: Int }

  @Test("the memory of a call does not grow with B·N", arguments: ["0.002", "1"])
  func bounded(_ time: String) throws {
    try Tool.inTemporaryFolder { tool in
      let (points, queries, few) = (20_000, 1_000, 20)
      try tool.put(SplitMix(seed: 1).uniform(3 * points), shape: [points, 3], at: "points.npy")
      try tool.put(SplitMix(seed: 2).uniform(3 * queries), shape: [queries, 3], at: "many.npy")
      try tool.put(SplitMix(seed: 2).uniform(3 * few), shape: [few, 3], at: "few.npy")
      func peak(_ name: String) throws -> Int {
        let answer = try tool.run([
          "fisher", "--model", "points.npy", "--schedule", "edm", "--time", time, "--at", name, "--direction", name,
          "--json",
        ])
        let report: Report = try answer.json()
        return report.peak_memory_bytes
      }
      // One array of B·N doubles would be 160 MB.
      #expect(try peak("many.npy") - peak("few.npy") < 64 << 20)
    }
  }

  @Test("the memory of a call is its own, however much its parent has")
  func own() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(SplitMix(seed: 1).uniform(30), shape: [10, 3], at: "points.npy")
      // Written to, so that it is there: 400 MB while the call is started.
      let weight = [UInt8](repeating: 1, count: 400_000_000)
      let answer = try tool.run([
        "fisher", "--model", "points.npy", "--schedule", "edm", "--time", "1", "--at", "points.npy", "--json",
      ])
      #expect(weight[weight.count - 1] == 1)
      let report: Report = try answer.json()
      #expect(report.peak_memory_bytes > 20 << 20 && report.peak_memory_bytes < 300 << 20)
    }
  }
}
