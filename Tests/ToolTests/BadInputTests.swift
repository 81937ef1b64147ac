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
    var command = "fisher"
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

  static func stored(
    _ name: String, _ status: Int32, _ line: String, prepare: @escaping @Sendable (Tool) throws -> Void = { _ in }
  ) -> Kind {
    Kind(name: name, status: status, line: line, options: ["--model": "shards", "--stream": ""]) { tool in
      try FileManager.default.createDirectory(atPath: tool.path("shards"), withIntermediateDirectories: false)
      try prepare(tool)
    }
  }

  static func mixture(_ name: String, _ status: Int32, _ line: String, _ text: String?) -> Kind {
    Kind(name: name, status: status, line: line, options: ["--model": "bad.json"]) { tool in
      if let text { try tool.put(Array(text.utf8), at: "bad.json") }
    }
  }

  static let kinds: [Kind] = [
    Kind(
      name: "no such model", status: 66, line: "none.npy: no such file; check the path",
      options: ["--model": "none.npy"]),
    Kind(
      name: "no such model, and no schedule", status: 66, line: "none: no such file; check the path",
      options: ["--model": "none", "--schedule": String?.none]),
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
      line:
        "--schedule: beta-min 5.0 and beta-max 1.0 are no rates; use 0 ≤ beta-min ≤ beta-max, and beta-max from 1e-6 to 1e3",
      options: ["--schedule": "vp:beta-min=5,beta-max=1"]),
    Kind(
      name: "impossible noise levels", status: 64,
      line: "--schedule: sigma-min 5.0 and sigma-max 1.0 are no noise levels; use 1e-9 ≤ sigma-min < sigma-max ≤ 1e9",
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
      name: "an unknown method", status: 64,
      line: "--method: 'magic' is no method for this model; use one of auto, exact, vjp, jvp, finite-difference, "
        + "secant:r, hutchinson:n, hutch++:n, trace-matching, residual, endpoint, centred, gaussian, null, retrieval:k, "
        + "blended:k, hybrid:k, recommended",
      options: ["--method": "magic"]),
    Kind(
      name: "an unknown element type", status: 64,
      line: "--dtype: 'float16' is no element type; use float32 or float64",
      options: ["--dtype": "float16"]),
    Kind(
      name: "no threads", status: 64, line: "--threads: 0 is no count of threads; give a number from 1 to 1024",
      options: ["--threads": "0"]),
    Kind(
      name: "one grey level", status: 64,
      line: "--levels: 1 is no count of grey levels; give a number from 2 to 4294967296",
      options: ["--levels": "1"]),
    Kind(
      name: "a missing option", status: 64,
      line: "--schedule: is missing, and points.npy is no trained model that brings one; use one of vp, subvp, ve, "
        + "ve-geometric, edm, flow, trig, scaled-linear, ddpm-linear, ddpm-cosine",
      options: ["--schedule": String?.none]),
    Kind(
      name: "an option that must be there", status: 64,
      line:
        "--time: missing expected argument '--time <time>'; see 'scorefield --help' or 'scorefield <command> --help'",
      options: ["--time": String?.none]),
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

    // Mixtures.
    mixture("no such mixture", 66, "bad.json: no such file; check the path", nil),
    mixture(
      "a mixture that is no JSON", 65,
      "bad.json: is not JSON, or holds a number that is not finite; write {\"weights\": […], \"means\": [[…], …], \"stds\": […]}",
      "{\"weights\": [1,"),
    mixture(
      "a mixture without means", 65,
      "bad.json: has no 'means'; write {\"weights\": […], \"means\": [[…], …], \"stds\": […]}",
      "{\"weights\": [1], \"stds\": [1]}"),
    mixture(
      "a mixture of ragged means", 65,
      "bad.json: mean 1 of 'means' has 1 numbers, the first 2; give all of them as many",
      "{\"weights\": [0.5, 0.5], \"means\": [[0, 1], [1]], \"stds\": [1, 1]}"),
    mixture(
      "a negative weight", 65, "bad.json: a weight is negative; give numbers that are 0 or larger",
      "{\"weights\": [-1, 2], \"means\": [[0, 1], [1, 0]], \"stds\": [1, 1]}"),
    mixture(
      "a negative deviation", 65, "bad.json: a standard deviation is negative; give numbers that are 0 or larger",
      "{\"weights\": [1], \"means\": [[0, 1]], \"stds\": [-1]}"),
    mixture(
      "a covariance that is none", 65,
      "bad.json: covariance 0 has the negative eigenvalue -1.0; give a positive semidefinite matrix",
      "{\"weights\": [1], \"means\": [[0, 1]], \"covariances\": [[[1, 2], [2, 1]]]}"),
    mixture(
      "a covariance that is not symmetric", 65,
      "bad.json: covariance 0 is not symmetric; give a matrix that equals its transpose",
      "{\"weights\": [1], \"means\": [[0, 1]], \"covariances\": [[[1, 2], [0, 5]]]}"),
    mixture(
      "weights that do not belong", 65, "bad.json: weights have shape [2], the means [1, 2]; give one weight per mean",
      "{\"weights\": [1, 1], \"means\": [[0, 1]], \"stds\": [1]}"),
    mixture(
      "a mixture of another dimension", 65,
      "x.npy: holds samples of shape [2], the model of shape [3]; give arrays that belong together",
      "{\"weights\": [1], \"means\": [[0, 1, 2]], \"stds\": [1]}"),
    Kind(
      name: "a covariance of no data", status: 64,
      line: "--method: 'gaussian' needs a data set and the model is none; give one with --data",
      options: ["--model": "bad.json", "--method": "gaussian"]
    ) { try $0.put(Array("{\"weights\": [1], \"means\": [[0, 1]], \"stds\": [1]}".utf8), at: "bad.json") },

    // Likelihoods.
    Kind(
      name: "samples with NaN", status: 65, line: "bad.npy: contains NaN; remove or replace such values",
      options: ["--samples": "bad.npy"], command: "likelihood"
    ) { try $0.put([.nan, 0, 0, 0], shape: [2, 2], at: "bad.npy") },
    Kind(
      name: "samples of another dimension", status: 65,
      line: "bad.npy: holds samples of shape [3], the model of shape [2]; give arrays that belong together",
      options: ["--samples": "bad.npy"], command: "likelihood"
    ) { try $0.put([1, 0, 0], shape: [1, 3], at: "bad.npy") },
    Kind(
      name: "a likelihood that runs backwards", status: 64,
      line: "--from: 5.0 is not before --to 2.0; run from the data up to the noise",
      options: ["--from": "5", "--to": "2"],
      command: "likelihood"),
    Kind(
      name: "a start before the schedule", status: 64,
      line: "--from: 0.0 is outside 0.0001…100.0, the times of 'edm'; choose a time in that range",
      options: ["--from": "0"], command: "likelihood"),
    Kind(
      name: "an unknown likelihood solver", status: 64,
      line: "--solver: 'rk5' is no solver of likelihoods; use dopri5:rtol=1e-5,atol=1e-5, rk4:n, heun:n or euler:n",
      options: ["--solver": "rk5"], command: "likelihood"),
    Kind(
      name: "no tolerance", status: 64, line: "--solver: rtol 0.0 is no tolerance; give a number between 0 and 1",
      options: ["--solver": "dopri5:rtol=0"], command: "likelihood"),
    Kind(
      name: "no steps", status: 64, line: "--solver: '0' is no count from 1 to 1000000; write rk4:50",
      options: ["--solver": "rk4:0"], command: "likelihood"),
    Kind(
      name: "an unknown prior", status: 64, line: "--prior: 'flat' is no prior; use exact or normal",
      options: ["--prior": "flat"], command: "likelihood"),
    Kind(
      name: "an unknown trace", status: 64,
      line: "--trace: 'magic' is no method for this model; use one of auto, exact, vjp, jvp, finite-difference, "
        + "secant:r, hutchinson:n, hutch++:n, trace-matching, residual, endpoint, centred, gaussian, null, retrieval:k, "
        + "blended:k, hybrid:k, recommended",
      options: ["--trace": "magic"], command: "likelihood"),
    Kind(
      name: "too few products", status: 64,
      line: "--trace: 'hutch++:2' has too few products for its three parts; give at least 3",
      options: ["--trace": "hutch++:2"], command: "likelihood"),
    Kind(
      name: "an unknown dequantisation", status: 64,
      line: "--dequantize: 'flow' is no dequantisation; use none, uniform:k or truncated-normal:k",
      options: ["--dequantize": "flow"], command: "likelihood"),
    Kind(
      name: "real numbers dequantised", status: 64,
      line: "--dequantize: 'uniform:2' is for grey levels, and x.npy holds float64; give integers, or use none",
      options: ["--dequantize": "uniform:2"], command: "likelihood"),

    // Samples.
    Kind(
      name: "neither count nor start", status: 64,
      line: "--count: is missing; give either how many samples to draw or the states to start from",
      options: ["--count": String?.none], command: "sample"),
    Kind(
      name: "both count and start", status: 64,
      line: "--count: and --start are both given; give either how many samples to draw or the states to start from",
      options: ["--start": "x.npy"], command: "sample"),
    Kind(
      name: "no samples", status: 64, line: "--count: 0 is no count of samples; give a positive number",
      options: ["--count": "0"], command: "sample"),
    Kind(
      name: "no sampler", status: 64,
      line:
        "--solver: 'magic' is no sampler; use euler, heun, rk4, dopri5, ddim, deis-1 to -3, dpm-solver-1 to -3, dpm-solver-12, dpm-solver-23, dpm-solver++-1, -2s, -2m, -3s or -3m, dpm-solver-v3-1 to -3, unipc-1 to -3, pndm, ipndm, edm-heun, heun-lambda, exponential-heun, edict, bdia, belm, ddpm, euler-maruyama, reverse-diffusion, predictor-corrector, annealed-langevin, sde-dpm-solver++-1 or -2m",
      options: ["--solver": "magic"], command: "sample"),
    Kind(
      name: "a start that is none", status: 64,
      line:
        "--solver: 'start=3' is no parameter of 'deis-2'; write deis-2:start=lower-order or deis-2:start=single-step",
      options: ["--solver": "deis-2:start=3"], command: "sample"),
    Kind(
      name: "a weight outside its range", status: 64,
      line: "--solver: gamma 2.0 is not in (0, 1]; write bdia:gamma=1", options: ["--solver": "bdia:gamma=2"],
      command: "sample"),
    Kind(
      name: "no mixing", status: 64, line: "--solver: p 0.0 is not in (0, 1]; write edict:p=1",
      options: ["--solver": "edict:p=0"], command: "sample"),
    Kind(
      name: "adaptive steps in parallel", status: 64,
      line: "--parallel: 'dopri5' chooses its steps one after another; use a solver of fixed steps",
      options: ["--solver": "dopri5", "--parallel": "8"], command: "sample"),
    Kind(
      name: "no window", status: 64, line: "--parallel: 0 is no count of steps; give a number from 1 to 100000",
      options: ["--parallel": "0"], command: "sample"),
    Kind(
      name: "a path of parallel steps", status: 64,
      line: "--trajectory: keeps no path of steps tried at once; leave out --parallel or --trajectory",
      options: ["--parallel": "4", "--trajectory": "t.safetensors"], command: "sample"),
    Kind(
      name: "a tolerance of nothing", status: 64,
      line: "--parallel-tolerance: needs --parallel; say how many steps are tried at once",
      options: ["--parallel-tolerance": "0.1"], command: "sample"),
    Kind(
      name: "no grid", status: 64,
      line: "--grid: 'log' is no grid; use one of uniform-time, uniform-half-log-snr, karras:rho=7",
      options: ["--grid": "log"], command: "sample"),
    Kind(
      name: "zero steps", status: 64, line: "--steps: 0 is no count of steps; give a number from 1 to 1000000",
      options: ["--steps": "0"], command: "sample"),
    Kind(
      name: "a way up to the noise from nowhere", status: 64,
      line: "--start: is missing, and the way up to the noise starts from data; give the states at --from",
      options: ["--from": "1", "--to": "2"],
      command: "sample"),
    Kind(
      name: "times that cannot be told apart", status: 64,
      line:
        "--from: 0.5 is too close to --to 0.4999999999999999 for 4 steps; choose times farther apart or fewer steps",
      options: ["--from": "0.5", "--to": "0.4999999999999999"], command: "sample"),
    Kind(
      name: "a likelihood between equal times", status: 64,
      line:
        "--from: 0.5 is too close to --to 0.5000000000000001 for 1 steps; choose times farther apart or fewer steps",
      options: ["--from": "0.5", "--to": "0.5000000000000001"], command: "likelihood"),
    Kind(
      name: "a grid of no shape", status: 64, line: "--grid: rho 1e+308 is outside 0.5…50; write karras:rho=7",
      options: ["--grid": "karras:rho=1e308"], command: "sample"),
    Kind(
      name: "more samples than fit", status: 64,
      line: "--count: 99999999999999999 samples of 2 numbers are too many at once; draw them in parts",
      options: ["--count": "99999999999999999"], command: "sample"),
    Kind(
      name: "one file for two outputs", status: 64,
      line: "--trajectory: is the same file as --out; give them different names",
      options: ["--out": "s.safetensors", "--trajectory": "s.safetensors"], command: "sample"),
    Kind(
      name: "a second output that cannot be written", status: 74,
      line: "none/t.safetensors: its folder does not exist; make the folder first",
      options: ["--trajectory": "none/t.safetensors"], command: "sample"),
    Kind(
      name: "noise levels beyond numbers", status: 64,
      line:
        "--schedule: sigma-min 0.01 and sigma-max 1e+308 are no noise levels; use 1e-9 ≤ sigma-min < sigma-max ≤ 1e9",
      options: ["--schedule": "ve-geometric:sigma-max=1e308"], command: "sample"),

    // Data sets in files.
    stored(
      "an empty folder", 65, "shards: has no .npy, .safetensors or .png files; give a folder of shards or of pictures"),
    stored(
      "a shard that was cut short", 65,
      "shards/b.npy: ends inside row 1 of 2, 5 bytes too early; get the whole file again"
    ) { tool in
      try tool.put([1, 2, 3, 4], shape: [2, 2], at: "shards/a.npy")
      try tool.put([1, 2, 3, 4], shape: [2, 2], at: "shards/b.npy")
      try tool.put([UInt8](tool.bytes(of: "shards/b.npy").dropLast(5)), at: "shards/b.npy")
    },
    stored("a row that is no number", 65, "shards/b.npy: row 1 contains NaN; remove or replace such values") { tool in
      try tool.put([1, 2, 3, 4], shape: [2, 2], at: "shards/a.npy")
      try tool.put([1, 2, .nan, 4], shape: [2, 2], at: "shards/b.npy")
    },
    stored(
      "shards of two shapes", 65,
      "shards/b.npy: holds float64 rows of shape [3], but 'a.npy' float64 of [2]; keep one type and one shape in a folder"
    ) { tool in
      try tool.put([1, 2, 3, 4], shape: [2, 2], at: "shards/a.npy")
      try tool.put([1, 2, 3], shape: [1, 3], at: "shards/b.npy")
    },
    stored(
      "shards of two types", 65,
      "shards/b.npy: holds uint8 rows of shape [2], but 'a.npy' float64 of [2]; keep one type and one shape in a folder"
    ) { tool in
      try tool.put([1, 2, 3, 4], shape: [2, 2], at: "shards/a.npy")
      try tool.put(levels([1, 2], shape: [1, 2]), at: "shards/b.npy")
    },
    stored(
      "a grey level of a shard beyond the levels", 65,
      "shards/a.npy: row 1 has the grey level 17, outside 0…16; say how many levels there are, or give floating-point numbers"
    ) { try $0.put(levels([1, 2, 3, 17], shape: [2, 2]), at: "shards/a.npy") },
    Kind(
      name: "weights of another length", status: 65,
      line: "w.npy: has shape [2], but there are 3 rows; give one weight for each row, shape [3]",
      options: ["--weights": "w.npy"]
    ) { try $0.put([1, 2], shape: [2], at: "w.npy") },
    Kind(
      name: "labels without a class", status: 64,
      line: "--labels: is given without --class; say which class the data are to be of", options: ["--labels": "l.npy"]),
    Kind(
      name: "the class of a data set without labels", status: 64,
      line: "--class: points.npy knows no classes; leave --class out, or give --labels", options: ["--class": "1"]),
    Kind(
      name: "a stream of what is no data set", status: 64,
      line: "--stream: m.json is a mixture, not a data set; leave --stream out",
      options: ["--model": "m.json", "--stream": ""]),
    Kind(
      name: "derivatives of data on the disk", status: 64,
      line: "--method: 'vjp' needs derivatives, and the data are not in memory; use exact or finite-difference",
      options: ["--method": "vjp", "--stream": ""]),
    Kind(
      name: "no points", status: 64,
      line: "--at: is missing; give the points to ask at, or --leave-one-out for the data themselves",
      options: ["--at": String?.none]),
    Kind(
      name: "other points than the data's own", status: 64,
      line:
        "--at: 'x.npy' is not the data set, which --leave-one-out asks at; leave --at out, or choose rows with --rows",
      options: ["--leave-one-out": ""]),
    Kind(
      name: "rows of nothing", status: 64,
      line: "--rows: is for --leave-one-out; leave it out, or give --leave-one-out",
      options: ["--rows": "0..2"]),
    Kind(
      name: "rows that are no range", status: 64,
      line: "--rows: '2..1' is no range of rows; write a..b with a < b, such as 0..1000",
      options: ["--at": String?.none, "--leave-one-out": "", "--rows": "2..1"]),
    Kind(
      name: "rows beyond the last", status: 64,
      line: "--rows: '1..4' ends beyond the 3 rows; choose rows from 0..3",
      options: ["--at": String?.none, "--leave-one-out": "", "--rows": "1..4"]),
    Kind(
      name: "a point that is all there is", status: 64,
      line: "--leave-one-out: leaves nothing of a data set of one point; leave it out",
      options: ["--model": "one.npy", "--at": String?.none, "--leave-one-out": ""]
    ) { try $0.put([1, 2], shape: [1, 2], at: "one.npy") },
    Kind(
      name: "leave-one-out of a method that has none", status: 64,
      line: "--method: 'null' does not leave out points; use exact",
      options: ["--at": String?.none, "--leave-one-out": "", "--method": "null"]),
    Kind(
      name: "nothing to go on with", status: 64, line: "--resume: has no --out whose parts could be there; give --out",
      options: ["--resume": "", "--out": String?.none]),
    Kind(
      name: "no samples said", status: 64,
      line: "--samples: is missing; give the points to ask at, or --leave-one-out for the data themselves",
      options: ["--samples": String?.none], command: "likelihood"),

    Kind(
      name: "a parameter said twice", status: 64, line: "--schedule: 'beta-min' is said twice; say it once",
      options: ["--schedule": "vp:beta-min=1,beta-min=2"]),
    Kind(
      name: "axes in another order", status: 65,
      line: "bad.npy: holds samples of shape [3, 2], the model of shape [2, 3]; give arrays that belong together",
      options: ["--model": "m.npy", "--at": "bad.npy"]
    ) {
      try $0.put([1, 2, 3, 4, 5, 6], shape: [1, 2, 3], at: "m.npy")
      try $0.put([1, 2, 3, 4, 5, 6], shape: [1, 3, 2], at: "bad.npy")
    },
    Kind(
      name: "values whose squares overflow", status: 65,
      line: "bad.npy: has values beyond 1e+100, whose squares float64 cannot hold; scale the data",
      options: ["--at": "bad.npy"]
    ) { try $0.put([1e160, 0], shape: [1, 2], at: "bad.npy") },
    Kind(
      name: "a table with a zero byte", status: 65,
      line:
        "bad.csv: row 1, column 2 is '2\\0', which is not a number; a table holds numbers, separated by commas, "
        + "tabs or semicolons", options: ["--at": "bad.csv"]
    ) { try $0.put(Array("1,2\u{0},3\n".utf8), at: "bad.csv") },
    Kind(
      name: "a picture of what is none", status: 64,
      line: "--out: s.png is a picture and samples have shape [2]; give a name ending in .npy or .safetensors",
      options: ["--out": "s.png"], command: "sample"),
    Kind(
      name: "a path of no known format", status: 64,
      line: "--trajectory: 't.txt' ends in no format that is known; give a name ending in .safetensors",
      options: ["--trajectory": "t.txt"], command: "sample"),
  ]

  /// Calls that work, from which each bad one differs.
  static let goodCalls: [String: [String: String?]] = [
    "fisher": [
      "--model": "points.npy", "--schedule": "vp", "--time": "0.5", "--at": "x.npy", "--levels": "17",
      "--out": "f.safetensors",
    ],
    "likelihood": [
      "--model": "points.npy", "--schedule": "edm", "--from": "1", "--samples": "x.npy", "--levels": "17",
      "--out": "l.safetensors",
    ],
    "sample": [
      "--model": "points.npy", "--schedule": "edm", "--count": "3", "--steps": "4", "--out": "samples.npy",
    ],
    "train": [
      "--data": "points.npy", "--schedule": "edm", "--steps": "4", "--batch": "8", "--width": "4", "--depth": "1",
      "--network": "mlp", "--out": "m",
    ],
  ]

  @Test("what the bad calls differ from works", arguments: goodCalls.keys.sorted())
  func works(_ command: String) throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put([0.5, 0, 0, -0.5, 0, 0], shape: [3, 2], at: "points.npy")
      try tool.put([0.1, 0.2, -0.3, 0.4], shape: [2, 2], at: "x.npy")
      let options = try #require(Self.goodCalls[command])
      let answer = try tool.run([command] + options.flatMap { key, value in value.map { [key, $0] } ?? [] })
      #expect(answer.status == 0 && answer.messages == "")
    }
  }

  @Test("one line, the right status, nothing on stdout, no file", arguments: kinds)
  func refused(_ kind: Kind) throws { try Self.expectRefused(kind) }

  private static let flags: Set = ["--stream", "--leave-one-out", "--resume"]

  static func expectRefused(_ kind: Kind) throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put([0.5, 0, 0, -0.5, 0, 0], shape: [3, 2], at: "points.npy")
      try tool.put([0.1, 0.2, -0.3, 0.4], shape: [2, 2], at: "x.npy")
      try kind.prepare(tool)
      let before = try tool.names()

      var options = try #require(goodCalls[kind.command])
      options.merge(kind.options) { $1 }
      // A flag has no value.
      let arguments = options.sorted { $0.key < $1.key }.flatMap { key, value in
        value.map { Self.flags.contains(key) ? [key] : [key, $0] } ?? []
      }
      let answer = try tool.run([kind.command] + arguments, environment: kind.environment)

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

  @Test("an answer that does not arrive is a failure")
  func lostAnswer() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put([0.5, 0, 0, -0.5, 0, 0], shape: [3, 2], at: "points.npy")
      let call = [
        "fisher", "--model", "points.npy", "--schedule", "vp", "--time", "0.5", "--at", "points.npy", "--json",
      ]
      let answer = try tool.run(call, output: "/dev/full")
      #expect(answer.status == 74)
      #expect(
        answer.messages
          == "scorefield: standard output: cannot be written (No space left on device); check where it goes\n")
    }
  }

  @Test("Ctrl-C ends a long command with status 130 and leaves nothing")
  func interrupt() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put([0.5, 0, 0, -0.5, 0, 0], shape: [3, 2], at: "points.npy")
      let call = [
        "likelihood", "--model", "points.npy", "--schedule", "edm", "--from", "2", "--samples", "points.npy", "--trace",
        "hutchinson:1000000", "--solver", "rk4:1000", "--out", "l.safetensors",
      ]
      let answer = try tool.run(call) { _ in Thread.sleep(forTimeInterval: 1) }
      #expect(answer.status == 130 && answer.output == "" && answer.messages == "")
      #expect(try tool.names() == ["points.npy"])
    }
  }
}
