import Foundation
import Scorefield
import ScorefieldImages
import Testing

/// Trainings that cannot be: one line, the right status, nothing on stdout, and no folder.
@Suite struct BadTrainingTests {
  typealias Kind = BadInputTests.Kind

  static func option(_ name: String, _ value: String, _ line: String) -> Kind {
    Kind(name: "\(name) \(value)", status: 64, line: "\(name): \(line)", options: [name: value], command: "train")
  }

  static func kind(
    _ name: String, _ status: Int32, _ line: String, _ options: [String: String?] = [:],
    _ prepare: @escaping @Sendable (Tool) throws -> Void = { _ in }
  ) -> Kind { Kind(name: name, status: status, line: line, options: options, command: "train", prepare: prepare) }

  static func data(
    _ name: String, _ line: String, _ array: HostArray, _ more: [String: String?] = [:], status: Int32 = 65
  ) -> Kind {
    kind(name, status, line, more.merging(["--data": "bad.npy"]) { $1 }) { try $0.put(array, at: "bad.npy") }
  }

  static func labels(_ name: String, _ line: String, _ array: HostArray, status: Int32 = 65) -> Kind {
    kind(name, status, line, ["--labels": "bad.npy"]) { try $0.put(array, at: "bad.npy") }
  }

  static func integers(_ values: [Int64], shape: [Int]) -> HostArray {
    HostArray(.int64, shape: shape, bytes: values.withUnsafeBytes { Bytes(copying: $0) })
  }

  static func picture(_ tool: Tool, _ name: String, _ shape: [Int]) throws {
    try FileManager.default.createDirectory(atPath: tool.path("pictures"), withIntermediateDirectories: true)
    let bytes = try PNG.encode(levels([UInt8](repeating: 9, count: shape.reduce(1, *)), shape: shape), name: name)
    try tool.put(bytes.withUnsafeBytes { Array($0) }, at: "pictures/\(name)")
  }

  static let options: [Kind] = [
    option("--steps", "0", "0 cannot be used; give a number from 1 to 100000000"),
    option("--batch", "0", "0 cannot be used; give a number from 1 to 1048576"),
    option("--batch", "1048577", "1048577 cannot be used; give a number from 1 to 1048576"),
    option("--learning-rate", "0", "0.0 cannot be used; give a number between 0 and 10"),
    option("--learning-rate", "nan", "nan cannot be used; give a number between 0 and 10"),
    option("--learning-rate", "11", "11.0 cannot be used; give a number between 0 and 10"),
    option("--warmup", "1000000001", "1000000001 cannot be used; give a number from 0 to 100000000"),
    option("--weight-decay", "1", "1.0 cannot be used; give a number from 0 to less than 1"),
    option("--clip", "0", "0.0 cannot be used; give a positive number"),
    option("--width", "0", "0 cannot be used; give a number from 1 to 16384"),
    option("--depth", "257", "257 cannot be used; give a number from 1 to 256"),
    option("--class-dropout", "1.5", "1.5 cannot be used; give a number from 0 to 1"),
    option("--objective", "magic", "'magic' is not known; use one of denoise, trace"),
    option("--network", "dit", "'dit' is not known; use one of mlp, multiscale, unet"),
    option("--prediction", "x", "'x' is not known; use one of data, noise, score, v, velocity, edm"),
    option(
      "--trace-form", "x",
      "'x' is not known; use one of second-moment, noise-moment, prediction-error, posterior-variance"),
    option("--targets", "x", "'x' is not known; use one of stable, single, own"),
    option("--precision", "float16", "'float16' is not known; use one of float32, bfloat16"),
    option("--ema", "1", "'1' is no average; give a decay such as 0.999, or power:0.1"),
    option("--ema", "power:0.3", "'power:0.3' is no average; give a decay such as 0.999, or power:0.1"),
    option("--ema", "power:", "'power:' says nothing after its colon; leave the colon out, or give what follows it"),
    option("--checkpoint-every", "0", "0 is no count of steps; give a positive number"),
    option("--log-every", "0", "0 is no count of steps; give a positive number"),
    option("--dtype", "float64", "training is done in float32; leave it out, or see --precision"),
    option("--out", "", "is empty; give the name of a folder"),
    option(
      "--schedule", "linear",
      "'linear' is no schedule; use one of vp, subvp, ve, ve-geometric, edm, flow, trig, scaled-linear, ddpm-linear, "
        + "ddpm-cosine"),
    option(
      "--network", "unet",
      "'unet' needs square images [H, W] or [C, H, W], and samples have shape [2]; crop them, move their channels to the "
        + "front, or use mlp"),
  ]

  static let inputs: [Kind] = [
    kind(
      "no data said", 64,
      "--data: missing expected argument '--data <data>'; see 'scorefield --help' or 'scorefield <command> --help'",
      ["--data": String?.none]),
    kind("no data there", 66, "none.npy: no such file; check the path", ["--data": "none.npy"]),
    kind("no folder there", 66, "none: no such folder; check the path", ["--data": "none"]),
    kind("a folder without pictures", 65, "empty: has no .png files; give a folder of pictures", ["--data": "empty"]) {
      try FileManager.default.createDirectory(atPath: $0.path("empty"), withIntermediateDirectories: false)
    },
    kind(
      "pictures of different sizes", 65,
      "pictures/b.png: is [4, 6], but 'a.png' is [4, 4]; make all pictures of a folder the same size, all grey or all "
        + "coloured",
      ["--data": "pictures"]
    ) { tool in
      for (name, shape) in [("a.png", [4, 4]), ("b.png", [4, 6])] { try picture(tool, name, shape) }
    },
    kind(
      "more levels than pictures have", 64,
      "--levels: pictures is read with 256 levels; leave --levels out, or give an .npy",
      ["--data": "pictures", "--levels": "1000"]
    ) { try picture($0, "a.png", [4, 4]) },
    kind(
      "text in a table", 65,
      "bad.csv: row 2, column 2 is 'oops', which is not a number; a table holds numbers, separated by commas, tabs or "
        + "semicolons", ["--data": "bad.csv"]
    ) { try $0.put(Array("1,2\n3,oops\n".utf8), at: "bad.csv") },
    data("a single number", "bad.npy: is a single number; give an array of shape [B, …]", HostArray([1], shape: [])),
    data("no samples", "bad.npy: is empty (shape [0, 2]); give at least one element", HostArray([], shape: [0, 2])),
    data(
      "NaN in a row", "bad.npy: row 2 contains NaN; remove or replace such values",
      HostArray([1, 2, 3, 4, 5, .nan, 7, 8], shape: [4, 2])),
    data(
      "infinity in a row", "bad.npy: row 3 contains infinity; remove or replace such values",
      HostArray([1, 2, 3, 4, 5, 6, 7, .infinity], shape: [4, 2])),
    data(
      "NaN in a row that no glance would see", "bad.npy: row 9001 contains NaN; remove or replace such values",
      HostArray((0..<10_000).map { $0 == 9001 ? .nan : Double($0 % 7) }, shape: [10_000, 1])),
    data(
      "values beyond float32", "bad.npy: row 1 has values too large for float32; scale the data",
      HostArray([1, 2, 3, 1e200], shape: [2, 2])),
    data(
      "data beyond the noise",
      "bad.npy: has a standard deviation of 1.0e30, and 'edm' has noise from 0.00010 to 100 of the signal; scale the data",
      HostArray([1e30, -1e30, 1e30, 1e30], shape: [2, 2])),
    data(
      "data below the noise",
      "bad.npy: has a standard deviation of 1.0e-9, and 'edm' has noise from 0.00010 to 100 of the signal; scale the data",
      HostArray([1e-9, -1e-9, 1e-9, 1e-9], shape: [2, 2])),
    data("zeros", "bad.npy: holds zeros only; give data with some variance", HostArray([0, 0, 0, 0], shape: [2, 2])),
    data(
      "a grey level beyond the levels",
      "bad.npy: row 1 has the grey level 200, outside 0…16; say how many levels there are, or give floating-point numbers",
      levels([0, 0, 200, 0], shape: [2, 2]), ["--levels": "17"]),
    data(
      "a grey level below 0",
      "bad.npy: row 0 has the grey level -1, outside 0…255; say how many levels there are, or give floating-point numbers",
      integers([3, -1, 0, 0], shape: [2, 2])),
    data(
      "truth values", "bad.npy: holds bool values; give real numbers or grey levels",
      HostArray(.bool, shape: [1, 2], bytes: Bytes(count: 2) { $0.initializeMemory(as: UInt8.self, repeating: 0) })),
    data(
      "images that are not square",
      "--network: 'unet' needs square images [H, W] or [C, H, W], and samples have shape [4, 6]; crop them, move their "
        + "channels to the front, or use mlp",
      levels([UInt8](0..<48), shape: [2, 4, 6]), ["--network": "unet"], status: 64),
    data(
      "images of an odd side",
      "--network: 'unet' halves its images, and their side is 5; pad them to an even side, or use mlp",
      levels([UInt8](0..<50), shape: [2, 5, 5]), ["--network": "unet"], status: 64),
    data(
      "a batch that does not fit",
      "--batch: 1048576 samples of 2000 numbers are too many at once; give fewer",
      HostArray([Double](repeating: 1, count: 2000), shape: [1, 2000]), ["--batch": "1048576"], status: 64),
    labels(
      "other labels than samples", "bad.npy: has 2 labels, but there are 3 samples; give one label for each sample",
      levels([0, 1], shape: [2])),
    labels(
      "a negative class", "bad.npy: row 1 is the class -1; number the classes from 0", integers([0, -1, 2], shape: [3])),
    labels(
      "labels of no shape", "bad.npy: has shape [3, 1, 1]; give labels of shape [3] or [3, width]",
      HostArray([0, 1, 2], shape: [3, 1, 1])),
    labels(
      "a label with NaN", "bad.npy: row 2 is not finite; remove or replace such values",
      HostArray([0, 1, .nan], shape: [3])),
    labels(
      "a class beyond all others", "--labels: there are 1000000001 classes or numbers; give at most 65536",
      integers([0, 1, 1_000_000_000], shape: [3]), status: 64),
    kind("labels that are not there", 66, "none.npy: no such file; check the path", ["--labels": "none.npy"]),
    kind(
      "posteriors that know no vectors", 64,
      "--targets: 'stable' knows classes, and the labels are vectors; use single",
      ["--labels": "vectors.npy", "--targets": "stable"]
    ) { try $0.put([0, 1, 0.5], shape: [3, 1], at: "vectors.npy") },
    kind("an output that is a file", 74, "m: is not a folder; give another path, or move that file away") {
      try $0.put([1], at: "m")
    },
    kind(
      "an output inside a file", 74, "m: is not a folder; give another path, or move that file away", ["--out": "m/n/o"]
    ) { try $0.put([1], at: "m") },
    kind(
      "a training that diverges at once", 65,
      "m: the loss of step 5 is not a number, and nothing was kept; lower --learning-rate or set --clip, and start afresh",
      ["--learning-rate": "10", "--weight-decay": "0.99", "--warmup": "0", "--steps": "300", "--depth": "2"]),
    Kind(
      name: "no engine", status: 69,
      line: "/nowhere: holds no engine; run 'Scripts/bootstrap /nowhere', or unset SCOREFIELD_ENGINE", command: "train",
      environment: ["SCOREFIELD_ENGINE": "/nowhere"]),
  ]

  @Test("what no training can be made of is refused in one line", arguments: options + inputs)
  func refused(_ kind: Kind) throws { try BadInputTests.expectRefused(kind) }

  @Test("a loss that is no number keeps the last good checkpoint")
  func divergence() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put([0.5, 0, 0, -0.5, 0, 0], shape: [3, 2], at: "points.npy")
      let call = [
        "train", "--data", "points.npy", "--schedule", "edm", "--network", "mlp", "--width", "4", "--depth", "2",
        "--batch", "8", "--steps", "300", "--learning-rate", "10", "--weight-decay", "0.99", "--warmup", "0",
        "--checkpoint-every", "1", "--log-every", "1", "--out", "m",
      ]
      let answer = try tool.run(call)
      #expect(answer.status == 65 && answer.output == "")
      let states = try tool.names(in: "m/state").map { Int($0.dropLast(12)) ?? -1 }
      let kept = try #require(states.max())
      #expect(kept >= 1)
      #expect(
        answer.messages
          == "scorefield: m: the loss of step \(kept + 1) is not a number, and the checkpoint of step \(kept) is kept; "
          + "lower --learning-rate or set --clip, and start afresh\n")
      #expect(try tool.run(["sample", "--model", "m", "--count", "2", "--steps", "2", "--out", "s.npy"]).status == 0)
    }
  }

  @Test("a file that outgrows what is allowed leaves the checkpoint before it, which goes on when there is room")
  func limited() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put([0.5, 0, 0, -0.5, 0, 0], shape: [3, 2], at: "points.npy")
      func call(_ steps: Int) -> [String] {
        [
          "train", "--data", "points.npy", "--schedule", "edm", "--network", "mlp", "--width", "32", "--depth", "2",
          "--batch", "8", "--steps", "\(steps)", "--checkpoint-every", "5", "--out", "m", "--resume",
        ]
      }
      // Where nothing fits at all, nothing stays.
      let none = try tool.run(call(10), largestFile: 8)
      #expect(none.status == 74 && none.output == "")
      #expect(
        none.messages
          == "scorefield: m/state/5.safetensors: cannot be written (File too large); check the folder and its permissions\n"
      )
      #expect(try tool.names() == ["points.npy"])

      #expect(try tool.run(call(10)).status == 0)
      let model = try tool.bytes(of: "m/model.safetensors")
      let more = try tool.run(call(20), largestFile: 30)
      #expect(more.status == 74)
      #expect(more.messages.hasSuffix("check the folder and its permissions\n"))
      #expect(try tool.names(in: "m/state") == ["10.safetensors", "5.safetensors"])
      #expect(try tool.bytes(of: "m/model.safetensors") == model)
      #expect(try tool.run(call(20)).status == 0)
      #expect(try tool.names(in: "m/state") == ["15.safetensors", "20.safetensors"])
    }
  }

  private static let mayMount: Bool = {
    #if os(Linux)
      let path = FileManager.default.temporaryDirectory.appending(path: "mount-\(UUID())").path
      guard mkdir(path, 0o700) == 0 else { return false }
      defer { rmdir(path) }
      guard mount("none", path, "tmpfs", 0, "size=4k") == 0 else { return false }
      return umount(path) == 0
    #else
      return false
    #endif
  }()

  @Test("on a full disk the last checkpoint survives", .enabled(if: mayMount, "needs the right to mount"))
  func fullDisk() throws {
    #if os(Linux)
      try Tool.inTemporaryFolder { tool in
        try tool.put([0.5, 0, 0, -0.5, 0, 0], shape: [3, 2], at: "points.npy")
        try FileManager.default.createDirectory(atPath: tool.path("disk"), withIntermediateDirectories: false)
        try #require(mount("none", tool.path("disk"), "tmpfs", 0, "size=256k") == 0)
        defer { umount2(tool.path("disk"), Int32(MNT_DETACH)) }
        func call(_ steps: Int, _ out: String) -> [String] {
          [
            "train", "--data", "points.npy", "--schedule", "edm", "--network", "mlp", "--width", "32", "--depth", "2",
            "--batch", "8", "--steps", "\(steps)", "--checkpoint-every", "5", "--out", out, "--resume",
          ]
        }
        #expect(try tool.run(call(10, "disk/m")).status == 0)
        // Two states of about 30 kB and a model are there; what is left is filled.
        let model = try tool.bytes(of: "disk/m/model.safetensors")
        var filling = 200_000
        while filling > 1000, (try? tool.put([UInt8](repeating: 0, count: filling), at: "disk/filling")) == nil {
          filling -= 4096
        }
        let full = try tool.run(call(20, "disk/m"))
        #expect(full.status == 74 && full.output == "")
        #expect(
          full.messages.hasSuffix(": the disk is full; free some space and write it again\n"), "\(full.messages)")
        #expect(try tool.bytes(of: "disk/m/model.safetensors") == model)
        #expect(try tool.names(in: "disk/m/state") == ["10.safetensors", "5.safetensors"])
        try FileManager.default.removeItem(atPath: tool.path("disk/filling"))
        #expect(try tool.run(call(20, "disk/m")).status == 0)

        try #require(mount("none", tool.path("disk"), "tmpfs", UInt(MS_REMOUNT | MS_RDONLY), "size=256k") == 0)
        let closed = try tool.run(call(10, "disk/other"))
        #expect(closed.status == 74)
        #expect(
          closed.messages == "scorefield: disk: cannot be written to; check the folder and its permissions\n")
      }
    #endif
  }
}
