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
}
