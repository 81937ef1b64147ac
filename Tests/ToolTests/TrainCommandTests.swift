import Foundation
import Scorefield
import ScorefieldImages
import ScorefieldTestSupport
import Testing

@Suite struct TrainCommandTests {
  struct Report: Decodable {
    let data, schedule, objective, out: String
    let steps, batch, samples, parameters, network_evaluations, peak_memory_bytes: Int
    let resumed_from: Int?
    let loss: Double?
    let seconds, steps_per_second, sigma_data: Double
    let warnings: [String]
  }

  static let small = [
    "train", "--schedule", "edm", "--width", "8", "--depth", "1", "--steps", "12", "--batch", "16", "--out", "m",
  ]

  @Test("a training leaves a model, its configuration, a state, a log and TensorBoard's curves, and says so")
  func folder() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(SplitMix(seed: 1).uniform(40), shape: [20, 2], at: "data.npy")
      let call = Self.small + ["--data", "data.npy", "--network", "mlp", "--log-every", "5", "--json"]
      let answer = try tool.run(call)
      #expect(answer.status == 0 && answer.messages == "")
      let report: Report = try answer.json()
      #expect(report.data == "data.npy" && report.schedule == "edm" && report.objective == "denoise")
      #expect(report.out == "m" && report.steps == 12 && report.batch == 16 && report.samples == 20)
      #expect(report.resumed_from == nil && report.network_evaluations == 12 && report.warnings == [])
      #expect(report.peak_memory_bytes > 1 << 20 && report.seconds > 0 && report.steps_per_second > 0)
      let data = Tensor(try NPY.read(tool.path("data.npy"))).to(.float32).to(.float64)
      #expect(report.sigma_data == data.squared().mean().item.squareRoot())

      let names = try tool.names(in: "m")
      let events = try #require(names.first { $0.hasPrefix("events.out.tfevents.") })
      #expect(names == ["model.safetensors", "config.json", "metrics.jsonl", "state", events])
      #expect(try tool.names(in: "m/state") == ["12.safetensors"])
      let folder = CheckpointFolder(tool.path("m"))
      let model = try TrainedModel(checkpoint: folder)
      #expect(report.parameters == model.parameterCount)
      #expect(try folder.readModel().metadata["step"] == "12")
      let configuration = try folder.readModelConfiguration()
      #expect(configuration.sampleShape == [2] && configuration.levels == nil && configuration.classes == nil)
      #expect(configuration.sigmaData == report.sigma_data)

      let lines = try String(decoding: tool.bytes(of: "m/metrics.jsonl"), as: UTF8.self).split(separator: "\n")
      let keys = try lines.map { line in
        try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Double])
      }
      #expect(keys.map { $0["step"] } == [5, 10, 12])
      for line in keys {
        #expect(line.keys.sorted() == ["gradient_norm", "learning_rate", "loss", "seconds", "step"])
      }
      #expect(try ResumeTests.log(tool, "m").last?.loss == report.loss)
      // The curves of the log but for its times, three times each.
      let bytes = try tool.bytes(of: "m/\(events)")
      for tag in ["loss", "learning_rate", "gradient_norm"] {
        // A field of that length, as the format has it.
        let field = Data([0x0A, UInt8(tag.utf8.count)] + Array(tag.utf8))
        var (count, place) = (0, bytes.startIndex)
        while let found = bytes.range(of: field, in: place..<bytes.endIndex) {
          (count, place) = (count + 1, found.upperBound)
        }
        #expect(count == 3, "\(tag)")
      }
    }
  }

  @Test("the same seed trains the same model, another one another, and a table is as good as an array")
  func seeds() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put([0.5, 0.25, -1, 2, 0.125, 1], shape: [3, 2], at: "data.npy")
      try tool.put(Array("x,y\n0.5,0.25\n-1,2\n0.125,1\n".utf8), at: "data.csv")
      var models: [Data] = []
      for (data, seed) in [("data.npy", "1"), ("data.csv", "1"), ("data.npy", "2")] {
        #expect(try tool.run(Self.small + ["--data", data, "--network", "mlp", "--seed", seed]).status == 0)
        models.append(try tool.bytes(of: "m/model.safetensors"))
        try FileManager.default.removeItem(atPath: tool.path("m"))
      }
      #expect(models[0] == models[1] && models[0] != models[2])
    }
  }

  @Test(
    "real numbers of any type are data, and whole numbers grey levels",
    arguments: ["float16", "float32", "float64", "uint8", "int16", "int64"])
  func types(_ name: String) throws {
    try Tool.inTemporaryFolder { tool in
      let type = try #require(ElementType(rawValue: name))
      let values = Tensor([0.0, 1, 2, 3, 16, 5, 6, 7], shape: [4, 2])
      try tool.put(values.to(type).hostArray, at: "data.npy")
      #expect(try tool.run(Self.small + ["--data", "data.npy", "--network", "mlp", "--levels", "17"]).status == 0)
      let configuration = try CheckpointFolder(tool.path("m")).readModelConfiguration()
      #expect(configuration.levels == (type.isInteger ? 17 : nil))
      let data = type.isInteger ? values / 8 - 1 : values
      #expect(abs(configuration.sigmaData - data.squared().mean().item.squareRoot()) < 1e-6)
    }
  }

  @Test("numbers in a row are samples of one number each, in every command")
  func numbersInARow() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put([0.5, 0.25, -1, 2], shape: [4], at: "data.npy")
      #expect(try tool.run(Self.small + ["--data", "data.npy"]).status == 0)
      #expect(try CheckpointFolder(tool.path("m")).readModelConfiguration().sampleShape == [])
      for command in [
        ["fisher", "--time", "1", "--at", "data.npy"], ["likelihood", "--samples", "data.npy", "--solver", "rk4:2"],
        ["sample", "--count", "3", "--steps", "2", "--out", "s.npy"],
      ] {
        let answer = try tool.run(command + ["--model", "m"])
        #expect(answer.status == 0 && answer.messages == "")
      }
      #expect(try NPY.read(tool.path("s.npy")).shape == [3])
    }
  }

  @Test("a folder of pictures in colour trains a network for images, and the other commands read such folders")
  func colour() throws {
    try Tool.inTemporaryFolder { tool in
      try FileManager.default.createDirectory(atPath: tool.path("pictures"), withIntermediateDirectories: false)
      for index in 0..<4 {
        let pixels = SplitMix(seed: index).uniform(8 * 8 * 3).map { UInt8($0 * 255) }
        let png = try PNG.encode(levels(pixels, shape: [8, 8, 3]), name: "x")
        try tool.put(png.withUnsafeBytes { Array($0) }, at: "pictures/\(index).png")
      }
      let answer = try tool.run(Self.small + ["--data", "pictures", "--network", "unet", "--batch", "4"])
      #expect(answer.status == 0 && answer.messages == "")
      let configuration = try CheckpointFolder(tool.path("m")).readModelConfiguration()
      #expect(configuration.sampleShape == [3, 8, 8] && configuration.levels == 256)

      #expect(
        try tool.run(["sample", "--model", "m", "--count", "4", "--steps", "2", "--out", "s.png"]).status == 0)
      #expect(try PNG.read(tool.path("s.png")).shape == [22, 22, 3])
      let fisher = try tool.run([
        "fisher", "--model", "m", "--time", "0.5", "--at", "pictures", "--method", "null", "--out", "f.safetensors",
      ])
      #expect(fisher.status == 0 && fisher.messages == "")
      let mean = Tensor(try tool.arrays(in: "f.safetensors").array(named: "posterior_mean"))
      let pictures = GreyLevels(256).scaled(
        Tensor(try PNG.readFolder(tool.path("pictures"))).to(.float64), type: .float32)
      let model = try TrainedModel(checkpoint: CheckpointFolder(tool.path("m"))).denoiser
      #expect(mean.isIdentical(to: model.denoise(pictures.permuted(0, 3, 1, 2), at: 0.5)))
      let likelihood = [
        "likelihood", "--model", "m", "--samples", "pictures", "--trace", "null", "--solver", "euler:2", "--json",
      ]
      #expect(try tool.run(likelihood).status == 0)
    }
  }

  @Test("images of any even side, and of 28 pixels, fit the network", arguments: [2, 6, 28])
  func sides(_ side: Int) throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(SplitMix(seed: 1).uniform(2 * side * side), shape: [2, 1, side, side], at: "data.npy")
      let answer = try tool.run(
        Self.small + ["--data", "data.npy", "--network", "unet", "--batch", "2", "--steps", "1"])
      #expect(answer.status == 0 && answer.messages == "")
    }
  }

  @Test("every prediction, form of the trace, average and precision trains")
  func choices() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(SplitMix(seed: 1).uniform(40), shape: [20, 2], at: "data.npy")
      for more in [
        ["--prediction", "noise", "--ema", "power:0.1"], ["--prediction", "score", "--schedule", "ddpm-cosine"],
        ["--prediction", "velocity", "--schedule", "flow", "--precision", "bfloat16"],
        ["--prediction", "v", "--clip", "1", "--weight-decay", "0.1", "--targets", "stable"],
        ["--objective", "trace", "--trace-form", "second-moment", "--targets", "single"],
        ["--objective", "trace", "--trace-form", "noise-moment", "--network", "multiscale"],
        ["--objective", "trace", "--trace-form", "prediction-error"],
      ] {
        let network = more.contains("--network") ? [] : ["--network", "mlp"]
        let answer = try tool.run(Self.small + ["--data", "data.npy"] + network + more)
        #expect(answer.status == 0 && answer.messages == "", "\(more): \(answer.messages)")
        try FileManager.default.removeItem(atPath: tool.path("m"))
      }
    }
  }

  @Test("on a terminal the loss, the rate and the time left are shown, and nothing elsewhere")
  func progress() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(SplitMix(seed: 1).uniform(40), shape: [20, 2], at: "data.npy")
      let call = Self.small + ["--data", "data.npy", "--network", "mlp"]
      let watched = try tool.run(call, onTerminal: true)
      #expect(watched.status == 0 && watched.output.hasPrefix("12 steps, loss "))
      let line = try #require(watched.messages.split(separator: "\u{1B}[K").first { $0.contains("train ") })
      #expect(line.contains(/train █*░* \d+\/12, [\d.]+\/s, \d+ s left, loss \d\.\d+/), "\(line)")
      // It goes when it is done.
      #expect(watched.messages.hasSuffix("\r\u{1B}[K"))
    }
  }
}
