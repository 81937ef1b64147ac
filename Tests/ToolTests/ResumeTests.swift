import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// A training that is stopped, however that happens, goes on as if it had not been.
@Suite struct ResumeTests {
  /// A training of a few seconds, by the name of what is special about it.
  enum Kind: String, CaseIterable, Sendable {
    /// Points of the plane with classes, some of them hidden.
    case denoise
    /// Points in space: posteriors from a pool.
    case trace

    func prepare(_ tool: Tool) throws {
      try tool.put(SplitMix(seed: 1).uniform(300).map { 2 * $0 - 1 }, shape: [150, 2], at: "plane.npy")
      try tool.put(SplitMix(seed: 2).uniform(300).map { 2 * $0 - 1 }, shape: [100, 3], at: "space.npy")
      try tool.put(levels((0..<150).map { UInt8($0 % 3) }, shape: [150]), at: "classes.npy")
    }

    func call(_ out: String, steps: Int = 120, _ more: [String] = []) -> [String] {
      let own =
        self == .denoise
        ? ["--data", "plane.npy", "--labels", "classes.npy", "--network", "mlp"]
        : ["--data", "space.npy", "--objective", "trace"]
      return ["train", "--schedule", "edm", "--width", "16", "--depth", "2", "--batch", "40", "--steps", "\(steps)"]
        + ["--checkpoint-every", "20", "--log-every", "7", "--seed", "3", "--out", out] + own + more
    }
  }

  struct Line: Decodable, Equatable {
    let step: Int
    let loss, learning_rate, gradient_norm: Double
  }

  /// The log but for its times.
  static func log(_ tool: Tool, _ out: String) throws -> [Line] {
    try String(decoding: tool.bytes(of: "\(out)/metrics.jsonl"), as: UTF8.self).split(separator: "\n").map {
      try JSONDecoder().decode(Line.self, from: Data($0.utf8))
    }
  }

  /// Waits until there is another checkpoint than before.
  static func awaitCheckpoint(_ tool: Tool, _ out: String, _ process: Process) {
    func states() -> Set<String> { (try? tool.names(in: "\(out)/state")) ?? [] }
    let before = states()
    while process.isRunning, states().filter({ $0.hasSuffix(".safetensors") && !before.contains($0) }).isEmpty {
      Thread.sleep(forTimeInterval: 0.002)
    }
  }

  @Test("killed ten times at any moment, a training ends in the same bytes", arguments: Kind.allCases)
  func killed(_ kind: Kind) throws {
    try Tool.inTemporaryFolder { tool in
      try kind.prepare(tool)
      #expect(try tool.run(kind.call("whole", steps: 500, ["--threads", "1"])).status == 0)

      var random = SystemRandomNumberGenerator()
      var kills = 0
      for attempt in 0..<10 {
        // The first one says how many threads; the others find it in the state, whatever the system would choose.
        let more = attempt == 0 ? ["--threads", "1"] : []
        let answer = try tool.run(
          kind.call("killed", steps: 500, more + ["--resume"]),
          environment: ["OMP_NUM_THREADS": attempt == 0 ? "1" : "2"],
          sending: SIGKILL
        ) { process in
          // Now and then while it starts.
          if attempt % 5 != 4 { Self.awaitCheckpoint(tool, "killed", process) }
          Thread.sleep(forTimeInterval: Double.random(in: 0...0.08, using: &random))
        }
        #expect(answer.messages == "")
        kills += answer.status == -SIGKILL ? 1 : 0
      }
      #expect(kills >= 5)
      let last = try tool.run(kind.call("killed", steps: 500, ["--resume"]), environment: ["OMP_NUM_THREADS": "2"])
      #expect(last.status == 0 && last.messages == "")

      #expect(try tool.bytes(of: "killed/model.safetensors") == tool.bytes(of: "whole/model.safetensors"))
      #expect(try tool.bytes(of: "killed/config.json") == tool.bytes(of: "whole/config.json"))
      let log = try Self.log(tool, "killed")
      #expect(try log == Self.log(tool, "whole"))
      #expect(log.map(\.step) == Array(stride(from: 7, through: 500, by: 7)) + [500])
      #expect(try tool.names(in: "killed/state") == ["480.safetensors", "500.safetensors"])
      #expect(try !tool.names(in: "killed").contains { $0.hasPrefix(".") })
    }
  }

  @Test("Ctrl-C and what ends a batch job write a whole checkpoint first", arguments: [SIGINT, SIGTERM])
  func interrupted(_ signal: Int32) throws {
    try Tool.inTemporaryFolder { tool in
      let kind = Kind.denoise
      try kind.prepare(tool)
      // Many steps: on a busy machine it must not end before it is seen to run.
      #expect(try tool.run(kind.call("whole", steps: 1000)).status == 0)
      // No checkpoint would be written before the end.
      var call = kind.call("stopped", steps: 1000, ["--resume"])
      call[call.firstIndex(of: "--checkpoint-every")! + 1] = "100000"
      let answer = try tool.run(call, sending: signal) { process in
        while process.isRunning, (try? tool.bytes(of: "stopped/metrics.jsonl"))?.isEmpty ?? true {
          Thread.sleep(forTimeInterval: 0.002)
        }
        // Pressed again and again, while it writes too.
        for _ in 0..<20 {
          kill(process.processIdentifier, signal)
          Thread.sleep(forTimeInterval: 0.001)
        }
      }
      #expect(answer.status == 128 + signal && answer.output == "")
      let words = answer.messages.split(separator: " ")
      let step = try #require(words.count > 4 ? Int(words[4].dropLast()) : nil)
      #expect(
        answer.messages == "scorefield: interrupted at step \(step); stopped goes on with --resume\n" && step >= 7)
      #expect(try tool.names(in: "stopped/state") == ["\(step).safetensors"])
      #expect(try !tool.names(in: "stopped").contains { $0.hasPrefix(".") })
      // What it left is a model.
      let sample = ["sample", "--model", "stopped", "--count", "2", "--steps", "2", "--out", "s.npy"]
      #expect(try tool.run(sample).status == 0)

      #expect(try tool.run(call).status == 0)
      #expect(try tool.bytes(of: "stopped/model.safetensors") == tool.bytes(of: "whole/model.safetensors"))
      #expect(try Self.log(tool, "stopped") == Self.log(tool, "whole"))
    }
  }

  struct Report: Decodable {
    let steps: Int
    let resumed_from: Int?
    let loss: Double?
    let warnings: [String]
  }

  @Test("what goes on is what was begun: other options are refused by name, more steps are said to be")
  func identity() throws {
    try Tool.inTemporaryFolder { tool in
      let kind = Kind.denoise
      try kind.prepare(tool)
      func call(_ more: String...) -> [String] {
        var call = kind.call("m", ["--resume", "--json"])
        call[call.firstIndex(of: "--steps")! + 1] = "40"
        for (option, value) in zip(more, more.dropFirst()) where option.hasPrefix("--") {
          if let index = call.firstIndex(of: option) { call[index + 1] = value } else { call += [option, value] }
        }
        return call
      }
      // In a folder that is not there yet it begins.
      let first: Report = try tool.run(call()).json()
      #expect(first.resumed_from == nil && first.steps == 40 && first.loss != nil)
      let model = try tool.bytes(of: "m/model.safetensors")

      let again = try tool.run(call().filter { $0 != "--resume" })
      #expect(again.status == 64 && again.output == "")
      #expect(again.messages == "scorefield: --out: m holds a model already; add --resume, or give another folder\n")
      try tool.put(SplitMix(seed: 9).uniform(300), shape: [150, 2], at: "other.npy")
      try tool.put(levels((0..<150).map { UInt8($0 % 2) }, shape: [150]), at: "two.npy")
      let others = [
        ("--batch", "41"), ("--seed", "4"), ("--width", "17"), ("--network", "multiscale"), ("--objective", "trace"),
        ("--learning-rate", "0.01"), ("--clip", "1"), ("--ema", "0.9"), ("--class-dropout", "0.2"),
        ("--schedule", "vp"), ("--data", "other.npy"), ("--labels", "two.npy"), ("--steps", "39"),
      ]
      for (option, value) in others {
        let answer = try tool.run(call(option, value))
        #expect(answer.status == 64 && answer.output == "", "\(option)")
        #expect(answer.messages.hasPrefix("scorefield: \(option): "), "\(answer.messages)")
        #expect(answer.messages.split(separator: "\n").count == 1)
      }
      #expect(
        try tool.run(call("--batch", "41")).messages
          == "scorefield: --batch: is '41' here and '40' in the training in m; give the same as before, or another --out\n"
      )

      // The same by other words is the same, and there is nothing left to do.
      try FileManager.default.copyItem(atPath: tool.path("plane.npy"), toPath: tool.path("copy.npy"))
      let same: Report = try tool.run(call("--data", "copy.npy", "--prediction", "edm", "--targets", "single")).json()
      #expect(same.resumed_from == 40 && same.warnings == [] && same.loss == first.loss)
      #expect(try tool.bytes(of: "m/model.safetensors") == model)

      let more = try tool.run(call("--steps", "60"))
      let longer: Report = try more.json()
      #expect(longer.steps == 60 && longer.resumed_from == 40 && longer.warnings.count == 1)
      #expect(more.messages == "scorefield: warning: \(longer.warnings[0])\n")
      #expect(
        longer.warnings[0]
          == "--steps: 60 in place of 40; the learning rate is 0.000764 where it was 5.58e-6, and falls along the new cosine"
      )
    }
  }

  @Test("a state that is cut short is passed over, and the log goes back to the one before it")
  func damagedState() throws {
    try Tool.inTemporaryFolder { tool in
      let kind = Kind.denoise
      try kind.prepare(tool)
      #expect(try tool.run(kind.call("m")).status == 0)
      let (model, log) = (try tool.bytes(of: "m/model.safetensors"), try Self.log(tool, "m"))
      let newest = try tool.bytes(of: "m/state/120.safetensors")
      try newest.prefix(newest.count - 100).write(to: tool.folder.appending(path: "m/state/120.safetensors"))
      // Nor is anything else whole.
      try Data("{".utf8).write(to: tool.folder.appending(path: "m/config.json"))
      try Data().write(to: tool.folder.appending(path: "m/model.safetensors"))

      let answer = try tool.run(kind.call("m", ["--resume"]))
      #expect(answer.status == 0)
      #expect(answer.messages.hasPrefix("scorefield: warning: m/state/120.safetensors: "))
      #expect(answer.messages.hasSuffix("; going on from step 100\n"))
      #expect(try tool.bytes(of: "m/model.safetensors") == model)
      #expect(try Self.log(tool, "m") == log)

      for step in [100, 120] {
        try Data("no".utf8).write(to: tool.folder.appending(path: "m/state/\(step).safetensors"))
      }
      let all = try tool.run(kind.call("m", ["--resume"]))
      #expect(all.status == 65 && all.output == "")
      #expect(all.messages.hasPrefix("scorefield: m/state: all of its 2 states are damaged (120.safetensors "))
      #expect(try tool.bytes(of: "m/model.safetensors") == model)
    }
  }

  @Test("a model whose states are gone is not trained over")
  func lostStates() throws {
    try Tool.inTemporaryFolder { tool in
      let kind = Kind.denoise
      try kind.prepare(tool)
      try FileManager.default.createDirectory(atPath: tool.path("m"), withIntermediateDirectories: false)
      try tool.put([1, 2, 3], at: "m/model.safetensors")
      for more in [[], ["--resume"]] {
        let answer = try tool.run(kind.call("m", more))
        #expect(answer.status == 64)
        #expect(try tool.names(in: "m") == ["model.safetensors"])
      }
    }
  }

  @Test("of two trainings of one folder the second is refused")
  func twice() throws {
    try Tool.inTemporaryFolder { tool in
      let kind = Kind.denoise
      try kind.prepare(tool)
      let first = try tool.run(kind.call("m", steps: 1_000_000)) { process in
        Self.awaitCheckpoint(tool, "m", process)
        let second = try? tool.run(kind.call("m", ["--resume"]))
        #expect(second?.status == 74)
        #expect(
          second?.messages
            == "scorefield: m: another training is writing into it; wait until it ends, or give another folder\n")
      }
      #expect(first.status == 130)
    }
  }
}
