import Foundation
import Scorefield
import Testing

/// What goes wrong in the world: one line, the right status, nothing on stdout and no new file.
@Suite struct BadInputTests {
  struct Kind: Sendable, CustomTestStringConvertible {
    let name: String
    let status: Int32
    let line: String
    /// Overrides of the options of a good call; nil takes one away.
    var options: [String: String?] = [:]
    var flags: [String] = []
    var environment: [String: String] = [:]
    /// Puts the bad file there.
    var prepare: @Sendable (Tool) throws -> Void = { _ in }
    var testDescription: String { name }
  }

  /// A header of NumPy's format, version 1.
  static func header(_ text: String, claiming length: Int? = nil) -> [UInt8] {
    let length = length ?? text.utf8.count
    return [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 255), UInt8(length >> 8)] + Array(text.utf8)
  }

  static func bad(
    _ name: String, _ status: Int32, _ line: String, at bytes: [UInt8]
  ) -> Kind {
    Kind(name: name, status: status, line: line, options: ["--at": "bad.npy"]) { try $0.put(bytes, at: "bad.npy") }
  }

  static func bad(_ name: String, _ line: String, at array: HostArray) -> Kind {
    Kind(name: name, status: 65, line: line, options: ["--at": "bad.npy"]) { try $0.put(array, at: "bad.npy") }
  }

  static let kinds: [Kind] = [
    Kind(
      name: "no such model", status: 66, line: "none.npy: no such file; check the path",
      options: ["--model": "none.npy"]),
    Kind(
      name: "no such points", status: 66, line: "none.npy: no such file; check the path", options: ["--at": "none.npy"]),
    Kind(
      name: "no such direction", status: 66, line: "none.npy: no such file; check the path",
      options: ["--direction": "none.npy"]),
    bad("an empty file", 65, "bad.npy: is empty; write it again", at: []),
    bad("not a NumPy file", 65, "bad.npy: is not a .npy file; save it with numpy.save", at: Array("hello, world".utf8)),
    bad(
      "a truncated header", 65, "bad.npy: ends inside its header; get the whole file again",
      at: header("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }\n", claiming: 500)),
    bad(
      "a junk header", 65,
      "bad.npy: has junk in its header at byte 10, where a string should be; save it again with numpy.save",
      at: header("{'descr': @@@, 'shape' }\n")),
    bad(
      "object arrays", 65, "bad.npy: holds Python objects ('|O'); save numbers, such as array.astype('float64')",
      at: header("{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }\n") + [1, 2, 3]),
    bad(
      "fields in a record", 65, "bad.npy: holds records of several fields; save each field as an array of its own",
      at: header("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (2,), }\n")),
    bad(
      "truncated data", 65,
      "bad.npy: should hold float64 [2, 2], which is 32 bytes, but only 9 follow its header; get the whole file again",
      at: header("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }\n") + [UInt8](repeating: 0, count: 9)),
    bad(
      "data after the end", 65, "bad.npy: has 1 bytes after its uint8 [2, 2]; save it again with numpy.save",
      at: header("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }\n") + [1, 2, 3, 4, 5]),
    bad(
      "a huge claimed size", 65,
      "bad.npy: claims to hold float64 [1152921504606846976, 2], more than any file can; save it again with numpy.save",
      at: header("{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846976, 2), }\n")),
    bad(
      "a size that overflows", 65,
      "bad.npy: claims to hold float64 [9223372036854775807, 9223372036854775807], more than any file can; save it again with numpy.save",
      at: header("{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807), }\n")),
    bad(
      "a negative size", 65, "bad.npy: has a negative number in its header; save it again with numpy.save",
      at: header("{'descr': '<f8', 'fortran_order': False, 'shape': (-2, 2), }\n")),
    bad(
      "text", 65, "bad.npy: holds strings ('<U3'); save numbers, such as array.astype('float64')",
      at: header("{'descr': '<U3', 'fortran_order': False, 'shape': (2, 2), }\n")),
    bad("NaN", "bad.npy: contains NaN; remove or replace such values", at: HostArray([.nan, 0, 0, 0], shape: [2, 2])),
    bad(
      "infinity", "bad.npy: contains infinity; remove or replace such values",
      at: HostArray([0, .infinity, 0, 0], shape: [2, 2])),
    bad(
      "the wrong dimension",
      "bad.npy: holds samples of shape [3], the model of shape [2]; give arrays that belong together",
      at: HostArray([0, 0, 0], shape: [1, 3])),
    bad(
      "the wrong rank", "bad.npy: holds samples of shape [], the model of shape [2]; give arrays that belong together",
      at: HostArray([0, 0], shape: [2])),
    bad("a single number", "bad.npy: is a single number; give an array of shape [B, …]", at: HostArray([1], shape: [])),
    bad("no points", "bad.npy: is empty (shape [0, 2]); give at least one element", at: HostArray([], shape: [0, 2])),
    bad(
      "a grey level beyond the levels",
      "bad.npy: holds the grey level 200, outside 0…16; say how many levels there are with --levels, or give floating-point numbers",
      at: levels([200, 0, 0, 0], shape: [2, 2])),
    bad(
      "truth values", "bad.npy: holds bool values; give real numbers or grey levels",
      at: HostArray(.bool, shape: [1, 2], bytes: Bytes(count: 2) { $0.initializeMemory(as: UInt8.self, repeating: 0) })),
    bad(
      "complex numbers", "bad.npy: holds complex64 values; give real numbers or grey levels",
      at: HostArray(
        .complex64, shape: [1, 2], bytes: Bytes(count: 16) { $0.initializeMemory(as: UInt8.self, repeating: 0) })),
    Kind(
      name: "values beyond float32", status: 65, line: "bad.npy: has values too large for float32; use --dtype float64",
      options: ["--at": "bad.npy", "--dtype": "float32"]
    ) { try $0.put([1e300, 0], shape: [1, 2], at: "bad.npy") },
    Kind(
      name: "a direction of another shape", status: 65,
      line: "bad.npy: has shape [3, 2], the points [2, 2]; give one direction per point",
      options: ["--direction": "bad.npy"]
    ) { try $0.put([1, 0, 0, 1, 1, 1], shape: [3, 2], at: "bad.npy") },
    Kind(
      name: "text in a table", status: 65,
      line:
        "bad.csv: row 2, column 2 is 'oops', which is not a number; a table holds numbers, separated by commas, tabs or semicolons",
      options: ["--at": "bad.csv"]
    ) { try $0.put(Array("1,2\n3,oops\n".utf8), at: "bad.csv") },
    Kind(
      name: "a ragged table", status: 65,
      line: "bad.csv: row 2 has 1 column, but row 1 has 2; give every row the same number of columns",
      options: ["--at": "bad.csv"]
    ) { try $0.put(Array("1,2\n3\n".utf8), at: "bad.csv") },
    Kind(
      name: "a folder without pictures", status: 65, line: "folder: has no .png files; give a folder of pictures",
      options: ["--at": "folder"]
    ) { try FileManager.default.createDirectory(atPath: $0.path("folder"), withIntermediateDirectories: false) },
    Kind(
      name: "a damaged picture", status: 65, line: "folder/a.png: is not a .png file; convert it to PNG",
      options: ["--at": "folder"]
    ) {
      try FileManager.default.createDirectory(atPath: $0.path("folder"), withIntermediateDirectories: false)
      try $0.put(Array("\u{89}PNG\r\n".utf8), at: "folder/a.png")
    },
    Kind(
      name: "an unknown schedule", status: 64,
      line: "--schedule: 'linear' is no schedule; use one of vp, subvp, ve, ve-geometric, edm, flow, trig, "
        + "scaled-linear, ddpm-linear, ddpm-cosine",
      options: ["--schedule": "linear"]),
    Kind(
      name: "an unknown parameter", status: 64,
      line: "--schedule: 'beta' is no parameter of 'vp'; 'vp' has beta-min, beta-max",
      options: ["--schedule": "vp:beta=3"]),
    Kind(
      name: "a parameter without a number", status: 64,
      line: "--schedule: 'beta-max=fast' gives beta-max no number; write beta-max=20.0",
      options: ["--schedule": "vp:beta-max=fast"]),
    Kind(
      name: "impossible parameters", status: 64,
      line: "--schedule: beta-min 5.0 and beta-max 1.0 are no rates; use 0 ≤ beta-min ≤ beta-max with beta-max > 0",
      options: ["--schedule": "vp:beta-min=5,beta-max=1"]),
    Kind(
      name: "impossible noise levels", status: 64,
      line: "--schedule: sigma-min 5.0 and sigma-max 1.0 are no noise levels; use 0 < sigma-min < sigma-max",
      options: ["--schedule": "ve-geometric:sigma-min=5,sigma-max=1"]),
    Kind(
      name: "a time outside the range", status: 64,
      line: "--time: 1.5 is outside 1e-05…1.0, the times of 'vp'; choose a time in that range",
      options: ["--time": "1.5"]),
    Kind(
      name: "a time that is not a number", status: 64,
      line: "--time: nan is outside 1e-05…1.0, the times of 'vp'; choose a time in that range",
      options: ["--time": "nan"]),
    Kind(
      name: "a time that is no time", status: 64,
      line:
        "--time: the value 'noon' is invalid for '--time <time>'; see 'scorefield --help' or 'scorefield <command> --help'",
      options: ["--time": "noon"]),
    Kind(
      name: "an unknown method", status: 64, line: "--method: 'magic' is no method for this model; use auto or exact",
      options: ["--method": "magic"]),
    Kind(
      name: "an unknown element type", status: 64,
      line: "--dtype: 'float16' is no element type; use float32 or float64",
      options: ["--dtype": "float16"]),
    Kind(
      name: "no threads", status: 64, line: "--threads: 0 is no count of threads; give a number from 1 to 1024",
      options: ["--threads": "0"]),
    Kind(
      name: "one grey level", status: 64, line: "--levels: 1 is no count of grey levels; give at least 2",
      options: ["--levels": "1"]),
    Kind(
      name: "a missing option", status: 64,
      line:
        "--schedule: missing expected argument '--schedule <schedule>'; see 'scorefield --help' or 'scorefield <command> --help'",
      options: ["--schedule": String?.none]),
    Kind(
      name: "an unknown option", status: 64,
      line: "--colour: unknown option '--colour'; see 'scorefield --help' or 'scorefield <command> --help'",
      options: ["--colour": "red"]),
    Kind(
      name: "an output of no known format", status: 64,
      line: "--out: 'f.txt' ends in no format that is known; give a name ending in .safetensors",
      options: ["--out": "f.txt"]),
    Kind(
      name: "many arrays for one .npy", status: 64,
      line: "--out: a .npy file holds one array and there are several; give a name ending in .safetensors",
      options: ["--out": "f.npy"]),
    Kind(
      name: "an output in no folder", status: 74,
      line: "none/f.safetensors: its folder does not exist; make the folder first",
      options: ["--out": "none/f.safetensors"]),
    Kind(
      name: "an output that is a folder", status: 74,
      line: "taken.safetensors: is not a regular file; give the path of a file", options: ["--out": "taken.safetensors"]
    ) {
      try FileManager.default.createDirectory(atPath: $0.path("taken.safetensors"), withIntermediateDirectories: false)
    },
    Kind(
      name: "no engine", status: 69,
      line: "/nowhere: holds no engine; run 'Scripts/bootstrap /nowhere', or unset SCOREFIELD_ENGINE",
      environment: ["SCOREFIELD_ENGINE": "/nowhere"]),
  ]

  @Test("one line, the right status, nothing on stdout, no file", arguments: kinds)
  func refused(_ kind: Kind) throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put([0.5, 0, 0, -0.5, 0, 0], shape: [3, 2], at: "points.npy")
      try tool.put([0.1, 0.2, -0.3, 0.4], shape: [2, 2], at: "x.npy")
      try kind.prepare(tool)
      let before = try tool.names()

      var options: [String: String?] = [
        "--model": "points.npy", "--schedule": "vp", "--time": "0.5", "--at": "x.npy", "--levels": "17",
        "--out": "f.safetensors",
      ]
      options.merge(kind.options) { $1 }
      let arguments = options.sorted { $0.key < $1.key }.flatMap { key, value in value.map { [key, $0] } ?? [] }
      let answer = try tool.run(["fisher"] + arguments + kind.flags, environment: kind.environment)

      #expect(answer.status == kind.status)
      #expect(answer.messages == "scorefield: \(kind.line)\n")
      #expect(answer.output == "")
      #expect(try tool.names() == before)
    }
  }

  @Test("commands and options that do not exist are named")
  func unknown() throws {
    try Tool.inTemporaryFolder { tool in
      let answer = try tool.run(["divine"])
      #expect(answer.status == 64 && answer.output == "")
      #expect(
        answer.messages
          == "scorefield: command line: unexpected argument 'divine'; see 'scorefield --help' or 'scorefield <command> --help'\n"
      )
    }
  }
}
