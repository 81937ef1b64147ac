import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// Data sets in files that stream: `--model` with shards, weights and classes, leave-one-out, and jobs that go on.
@Suite struct StoredDataTests {
  struct Report: Decodable {
    let trace: [Double]
    let samples, peak_memory_bytes: Int
    let rows: [Int]?
  }

  /// A folder of shards with so many rows each.
  private func put(_ data: Tensor, _ counts: [Int], at name: String, in tool: Tool, safetensors: Bool = false) throws {
    try FileManager.default.createDirectory(atPath: tool.path(name), withIntermediateDirectories: false)
    var first = 0
    for (index, count) in counts.enumerated() {
      let rows = data[first..<(first + count)].hostArray
      if safetensors {
        try SafeTensors.write([("x", rows)], to: tool.path("\(name)/\(index).safetensors"))
      } else {
        try tool.put(rows, at: "\(name)/\(index).npy")
      }
      first += count
    }
  }

  private let data = SplitMix(seed: 80).symmetric([700, 3])
  private let x = SplitMix(seed: 81).unit([5, 3])

  private func fisher(_ model: String, _ more: String..., out: String = "f.safetensors") -> [String] {
    ["fisher", "--model", model, "--schedule", "edm", "--time", "0.4", "--out", out] + more
  }

  private func expectClose(_ tool: Tool, _ a: String, _ b: String, within tolerance: Double = 1e-12) throws {
    let (a, b) = (try tool.arrays(in: a), try tool.arrays(in: b))
    #expect(Set(a.names) == Set(b.names))
    for name in a.names {
      ScorefieldTestSupport.expectClose(
        Tensor(try a.array(named: name)), Tensor(try b.array(named: name)), within: tolerance, "\(name)")
    }
  }

  @Test("the answer is the same in memory and from the disk, to the last bit in any shards")
  func sharding() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(data.hostArray, at: "whole.npy")
      try put(data, [700], at: "one", in: tool)
      try put(data, [1, 300, 399], at: "three", in: tool)
      try put(data, [256, 444], at: "two", in: tool, safetensors: true)
      try SafeTensors.write([("x", data.hostArray), ("y", x.hostArray)], to: tool.path("named.safetensors"))
      try tool.put(x.hostArray, at: "x.npy")
      func run(_ out: String, _ model: String, more: [String] = []) throws {
        let answer = try tool.run(fisher(model, "--at", "x.npy", "--direction", "x.npy", out: out) + more)
        #expect(answer.status == 0 && answer.messages == "", "\(answer.messages)")
      }
      try run("memory.safetensors", "whole.npy")
      try run("whole.safetensors", "whole.npy", more: ["--stream"])
      try expectClose(tool, "whole.safetensors", "memory.safetensors")
      for model in ["one", "two", "three"] {
        try run("f.safetensors", model, more: ["--stream"])
        #expect(try tool.bytes(of: "f.safetensors") == tool.bytes(of: "whole.safetensors"))
        try run("f.safetensors", model)
        try expectClose(tool, "f.safetensors", "memory.safetensors")
      }
      for more in [[], ["--stream"]] {
        try run("f.safetensors", "named.safetensors", more: ["--array", "x"] + more)
        try expectClose(tool, "f.safetensors", "memory.safetensors")
      }
      // Nothing else is left.
      #expect(try !tool.names().contains { $0.hasSuffix(".journal") })
    }
  }

  @Test("weights, a class and rows without themselves are those of the library", arguments: [false, true])
  func selections(_ streams: Bool) throws {
    try Tool.inTemporaryFolder { tool in
      try put(data, [300, 400], at: "shards", in: tool)
      let (weights, labels) = (SplitMix(seed: 82).uniform([700]), SplitMix(seed: 83).uniform(700).map { Int($0 * 3) })
      try tool.put(weights.hostArray, at: "w.npy")
      try tool.put(Tensor(labels).hostArray, at: "l.npy")
      let answer = try tool.run(
        fisher(
          "shards", "--weights", "w.npy", "--labels", "l.npy", "--class", "2", "--leave-one-out", "--rows", "290..320")
          + ["--json"] + (streams ? ["--stream"] : []))
      #expect(answer.status == 0 && answer.messages == "", "\(answer.messages)")
      let report: Report = try answer.json()
      let rows = (290..<320).filter { labels[$0] == 2 }
      #expect(report.rows == rows && report.samples == rows.count)
      let own = weights.replacing(with: 0, where: Tensor(labels.map { $0 != 2 }, shape: [700]))
      let field = EmpiricalDenoiser(data: data, weights: own, on: .edm).leavingOut(Tensor(rows))
      let expected = field.posterior(data.selecting(Tensor(rows)), at: 0.4)
      let file = try tool.arrays(in: "f.safetensors")
      func close(_ name: String, _ value: Tensor) throws {
        ScorefieldTestSupport.expectClose(Tensor(try file.array(named: name)), value, within: 1e-10, "\(name)")
      }
      try close("log_density", expected.logDensity)
      try close("score", expected.score)
      try close("trace", expected.fisherTrace)
      #expect(Tensor(try file.array(named: "rows")).integers == rows)
    }
  }

  @Test("the likelihood of the data without themselves is that of the library", arguments: [false, true])
  func likelihood(_ streams: Bool) throws {
    try Tool.inTemporaryFolder { tool in
      let grey = Tensor(SplitMix(seed: 84).uniform(60 * 2).map { Int($0 * 17) }, shape: [60, 2])
      try put(grey.to(.uint8), [20, 40], at: "shards", in: tool)
      let answer = try tool.run(
        [
          "likelihood", "--model", "shards", "--schedule", "edm", "--from", "0.5", "--levels", "17", "--leave-one-out",
          "--dequantize", "uniform:2", "--solver", "rk4:10", "--out", "l.safetensors", "--seed", "5",
        ] + (streams ? ["--stream"] : []))
      #expect(answer.status == 0 && answer.messages == "", "\(answer.messages)")
      var generator = Generator(seed: 5)
      let field = EmpiricalDenoiser(data: GreyLevels(17).scaled(grey), on: .edm)
      let twice = field.leavingOut(Tensor(Array(0..<60)).tiled(2))
      let expected = logLikelihood(
        of: grey, in: GreyLevels(17), dequantized: .uniform(draws: 2), using: &generator, under: ExactFisher(twice),
        from: 0.5, to: 80, prior: .exact(twice), solver: .rungeKutta(.rk4, steps: 10))
      let found = Tensor(try tool.arrays(in: "l.safetensors").array(named: "log_likelihood"))
      ScorefieldTestSupport.expectClose(found, expected.logLikelihood, within: 1e-9)
    }
  }

  // MARK: Long jobs

  /// A job of many parts that takes seconds.
  private func prepareJob(_ tool: Tool) throws -> [String] {
    let data = SplitMix(seed: 85).symmetric([60_000, 16])
    try put(data, [20_000, 40_000], at: "shards", in: tool)
    return fisher("shards", "--stream", "--leave-one-out", "--rows", "0..4000")
  }

  private func waitForParts(_ tool: Tool, _ process: Process, beyond size: Int = 150_000) {
    while process.isRunning, (FileIdentity(of: tool.path("f.safetensors.journal"))?.size ?? 0) < size {
      Thread.sleep(forTimeInterval: 0.005)
    }
  }

  /// Waits until a process has a file open, or mapped, and a moment more.
  private func waitUntilOpened(_ tool: Tool, _ name: String, _ process: Process) {
    let own = "/proc/\(process.processIdentifier)"
    let files = FileManager.default
    func isOpened() -> Bool {
      let open = ((try? files.contentsOfDirectory(atPath: "\(own)/fd")) ?? [])
        .compactMap { try? files.destinationOfSymbolicLink(atPath: "\(own)/fd/\($0)") }
      let maps = (try? String(contentsOfFile: "\(own)/maps", encoding: .utf8)) ?? ""
      return maps.contains(name) || open.contains { $0.hasSuffix(name) }
    }
    while files.fileExists(atPath: "/proc/self/maps"), process.isRunning, !isOpened() {
      Thread.sleep(forTimeInterval: 0.02)
    }
    Thread.sleep(forTimeInterval: 1)
  }

  @Test("a job that was ended goes on, and its file is the same to the last byte", arguments: [SIGKILL, SIGINT])
  func resumed(_ signal: Int32) throws {
    try Tool.inTemporaryFolder { tool in
      let job = try prepareJob(tool)
      #expect(try tool.run(job).status == 0)
      let whole = try tool.bytes(of: "f.safetensors")
      try FileManager.default.removeItem(atPath: tool.path("f.safetensors"))

      let answer = try tool.run(job, sending: signal) { waitForParts(tool, $0) }
      #expect(answer.status == (signal == SIGINT ? 130 : -SIGKILL) && answer.output == "")
      #expect(try tool.names() == ["shards", "f.safetensors.journal"])
      let kept = try tool.bytes(of: "f.safetensors.journal")

      // Not by accident, and not for another job.
      let forgotten = try tool.run(job)
      #expect(forgotten.status == 64)
      #expect(
        forgotten.messages
          == "scorefield: --resume: is not given, and f.safetensors.journal holds the parts of a job that "
          + "was ended; give --resume to go on with it, or remove the file\n")
      let other = try tool.run(job + ["--resume", "--dtype", "float32"])
      #expect(other.status == 65)
      #expect(
        other.messages == "scorefield: f.safetensors.journal: is of another job, whose dtype differs; give the same "
          + "options, or remove the file\n")
      #expect(try tool.bytes(of: "f.safetensors.journal") == kept)

      // What a killed process left half written is no part, nor is what a disk got wrong; and it may happen twice.
      var torn = kept
      if signal == SIGINT { torn[torn.count - 1] ^= 1 } else { torn.removeLast(1000) }
      try torn.write(to: URL(filePath: tool.path("f.safetensors.journal")))
      let twice = try tool.run(job + ["--resume"], sending: signal) {
        waitForParts(tool, $0, beyond: kept.count + 50_000)
      }
      #expect(twice.status == (signal == SIGINT ? 130 : -SIGKILL))
      let again = try tool.run(job + ["--resume"])
      #expect(again.status == 0 && again.messages == "", "\(again.messages)")
      #expect(try tool.bytes(of: "f.safetensors") == whole)
      #expect(try tool.names() == ["shards", "f.safetensors"])
    }
  }

  @Test("a file that is no journal is left alone")
  func noJournal() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(data.hostArray, at: "m.npy")
      try tool.put(x.hostArray, at: "x.npy")
      let words = Array("These are notes, and nobody's parts.".utf8)
      try tool.put(words, at: "f.safetensors.journal")
      let answer = try tool.run(fisher("m.npy", "--at", "x.npy", "--resume"))
      #expect(answer.status == 65)
      #expect(answer.messages == "scorefield: f.safetensors.journal: is no journal; remove the file\n")
      #expect(try tool.bytes(of: "f.safetensors.journal") == Data(words))
    }
  }

  @Test("likelihoods in parts go on too, and in parts or at once are the same", arguments: [false, true])
  func likelihoodParts(_ streams: Bool) throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(data.hostArray, at: "m.npy")
      let call =
        [
          "likelihood", "--model", "m.npy", "--schedule", "edm", "--from", "0.5", "--samples", "m.npy", "--solver",
          "rk4:6",
        ] + (streams ? ["--stream"] : [])
      #expect(try tool.run(call + ["--out", "a.safetensors"]).status == 0)
      #expect(try tool.run(call + ["--out", "b.safetensors", "--resume"]).status == 0)
      try expectClose(tool, "b.safetensors", "a.safetensors", within: 1e-11)
      #expect(try tool.names() == ["m.npy", "a.safetensors", "b.safetensors"])
    }
  }

  @Test("a file that changes in the middle of a job ends it with its name, and nothing is written")
  func changed() throws {
    try Tool.inTemporaryFolder { tool in
      let job = try prepareJob(tool)
      let answer = try tool.run(job, sending: 0) { process in
        waitForParts(tool, process)
        truncate(tool.path("shards/1.npy"), 1000)
      }
      #expect(answer.status == 65 && answer.output == "")
      let parts = answer.messages.split(separator: " row ")
      #expect(
        parts.count == 2 && parts[0] == "scorefield: shards/1.npy: has changed since it was opened, as was found at")
      #expect(parts.last?.hasSuffix("; leave it alone until the end, and start again\n") ?? false, "\(answer.messages)")
      #expect(try tool.names() == ["shards", "f.safetensors.journal"])
    }
  }

  @Test("a file that changes under a solver ends the command too")
  func changedUnderASolver() throws {
    try Tool.inTemporaryFolder { tool in
      try put(SplitMix(seed: 88).symmetric([60_000, 16]), [20_000, 40_000], at: "shards", in: tool)
      try tool.put(SplitMix(seed: 90).symmetric([1, 16]).hostArray, at: "t.npy")
      for command in [
        ["likelihood", "--leave-one-out", "--rows", "0..64", "--from", "0.5", "--solver", "rk4:3000"],
        ["sample", "--count", "64", "--solver", "rk4", "--steps", "3000"],
        [
          "guide", "--loss", "target:t.npy", "--count", "64", "--steps", "6000", "--guide-from", "0", "--guide-to", "1",
        ],
        [
          "guide", "--loss", "target:t.npy", "--count", "64", "--steps", "6000", "--guide-from", "5000", "--guide-to",
          "5999", "--method", "moments",
        ],
      ] {
        let answer = try tool.run(
          command + ["--model", "shards", "--schedule", "edm", "--stream", "--out", "o.safetensors"], sending: 0
        ) { process in
          waitUntilOpened(tool, "shards/0.npy", process)
          truncate(tool.path("shards/0.npy"), off_t(128 + 16 * 8 * 20_000 - 1))
        }
        #expect(answer.status == 65 && answer.output == "")
        #expect(
          answer.messages.hasPrefix("scorefield: shards/0.npy: has changed since it was opened, as was found at row "),
          "\(answer.messages)")
        let names = try tool.names()
        #expect(!names.contains("o.safetensors"))
        try? FileManager.default.removeItem(atPath: tool.path("o.safetensors.journal"))
        try tool.put(SplitMix(seed: 89).symmetric([20_000, 16]).hostArray, at: "shards/0.npy")
      }
    }
  }

  @Test("samples and transport stream too, but no derivatives")
  func others() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(data.hostArray, at: "m.npy")
      let sample = ["sample", "--model", "m.npy", "--schedule", "edm", "--count", "3", "--steps", "6", "--out"]
      #expect(try tool.run(sample + ["a.safetensors"]).status == 0)
      #expect(try tool.run(sample + ["b.safetensors", "--stream"]).status == 0)
      try expectClose(tool, "b.safetensors", "a.safetensors", within: 1e-9)
      let transport = [
        "transport", "--model", "m.npy", "--schedule", "edm", "--count", "2", "--from", "80", "--to", "2", "--rtol",
        "1e-4",
        "--out",
      ]
      #expect(try tool.run(transport + ["c.safetensors"]).status == 0)
      #expect(try tool.run(transport + ["d.safetensors", "--stream"]).status == 0)
      ScorefieldTestSupport.expectClose(
        Tensor(try tool.arrays(in: "d.safetensors").array(named: "endpoint")),
        Tensor(try tool.arrays(in: "c.safetensors").array(named: "endpoint")), within: 1e-6)
      try tool.put(data[0..<1].hostArray, at: "t.npy")
      let guide = [
        "guide", "--model", "m.npy", "--schedule", "edm", "--count", "3", "--steps", "8", "--guide-from", "2",
        "--guide-to", "6", "--loss", "target:t.npy", "--out",
      ]
      for method in ["auto", "moments", "recommended"] {
        #expect(try tool.run(guide + ["g.safetensors", "--stream", "--method", method]).status == 0)
      }
      for method in ["dps", "vjp"] {
        let refused = try tool.run(guide + ["h.safetensors", "--stream", "--method", method])
        #expect(refused.status == 64 && refused.output == "")
        #expect(
          refused.messages
            == "scorefield: --method: '\(method)' needs derivatives, and the data are not in memory; use exact or finite-difference\n"
        )
      }
      #expect(try !tool.names().contains("h.safetensors"))
      let refused = try tool.run(transport + ["e.safetensors", "--stream", "--method", "jvp"])
      #expect(refused.status == 64)
      #expect(
        refused.messages == "scorefield: --method: 'jvp' needs derivatives, and the data are not in memory; use exact\n"
      )
    }
  }

  // MARK: Memory

  /// A `.npy` file of zeros, `float32`, that takes no room on the disk.
  static func putHole(_ rows: Int, _ width: Int, at path: String) throws {
    var header = try NPY.encode(
      HostArray(.float32, shape: [0, width], bytes: Bytes(copying: .init(start: nil, count: 0))), name: path
    )
    .flatMap { $0.withUnsafeBytes(Array.init) }
    let shape = "(\(rows), \(width)), }"
    let start = try #require(header.firstIndex(of: UInt8(ascii: "(")))
    header.replaceSubrange(start..<(start + shape.utf8.count), with: shape.utf8)
    try Data(header).write(to: URL(filePath: path))
    #expect(truncate(path, off_t(header.count + 4 * rows * width)) == 0)
  }

  @Test("memory does not grow with the data", arguments: ["float32", "float64"])
  func steady(_ type: String) throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(SplitMix(seed: 86).unit([4, 500]).hostArray, at: "x.npy")
      func peak(_ rows: Int, links: Int) throws -> Int {
        let name = "shards-\(rows)"
        try FileManager.default.createDirectory(atPath: tool.path(name), withIntermediateDirectories: false)
        try Self.putHole(rows, 500, at: tool.path("\(name)/0.npy"))
        for link in 1..<links {
          try FileManager.default.linkItem(atPath: tool.path("\(name)/0.npy"), toPath: tool.path("\(name)/\(link).npy"))
        }
        let answer = try tool.run(fisher(name, "--at", "x.npy", "--stream", "--dtype", type, "--json"))
        #expect(answer.status == 0, "\(answer.messages)")
        let report: Report = try answer.json()
        return report.peak_memory_bytes
      }
      // 0.6 GB, and 60 MB.
      #expect(try peak(60_000, links: 5) - peak(6_000, links: 5) < 32 << 20)
    }
  }

  @Test("20 GB, ten links to one shard, stream in the memory of a few chunks", .tags(.slow), .whenAllTestsRun)
  func large() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(SplitMix(seed: 87).unit([4, 500]).hostArray, at: "x.npy")
      try FileManager.default.createDirectory(atPath: tool.path("shards"), withIntermediateDirectories: false)
      try Self.putHole(1_000_000, 500, at: tool.path("shards/0.npy"))
      for link in 1..<10 {
        try FileManager.default.linkItem(atPath: tool.path("shards/0.npy"), toPath: tool.path("shards/\(link).npy"))
      }
      let answer = try tool.run(fisher("shards", "--at", "x.npy", "--dtype", "float32", "--json"))
      #expect(answer.status == 0 && answer.messages == "", "\(answer.messages)")
      let report: Report = try answer.json()
      #expect(report.peak_memory_bytes < 300 << 20)
    }
  }
}
