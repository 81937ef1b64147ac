import Foundation
import Scorefield
import ScorefieldImages
import ScorefieldTestSupport
import Testing

/// A trained checkpoint answers every command as the library does.
@Suite struct TrainedModelTests {
  /// Trains in the plane, with a trace head, and puts points there.
  static func inThePlane(_ more: [String] = [], _ body: (Tool, TrainedModel) throws -> Void) throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(SplitMix(seed: 1).uniform(120).map { 2 * $0 - 1 }, shape: [60, 2], at: "data.npy")
      try tool.put([0.1, 0.2, -0.3, 0.4, 0.5, 0.9], shape: [3, 2], at: "x.npy")
      try tool.put([1, 0, 0.5, -2, 1, 1], shape: [3, 2], at: "v.npy")
      let answer = try tool.run(
        [
          "train", "--data", "data.npy", "--schedule", "vp:beta-max=10", "--objective", "trace", "--network", "mlp",
          "--width", "16", "--depth", "2", "--steps", "60", "--batch", "32", "--learning-rate", "0.01", "--out", "m",
        ] + more)
      #expect(answer.status == 0 && answer.messages == "")
      try body(tool, TrainedModel(checkpoint: CheckpointFolder(tool.path("m"))))
    }
  }

  static let x = Tensor(rows: [[0.1, 0.2], [-0.3, 0.4], [0.5, 0.9]]).to(.float32)
  static let v = Tensor(rows: [[1, 0], [0.5, -2], [1, 1]]).to(.float32)

  struct Fisher: Decodable {
    let method, schedule: String
    let trace: [Double]
    let trace_bound, trace_standard_error: [Double?]?
    let exact_share: Double?
    let network_evaluations: Int
  }

  @Test("the Fisher of a trained model by every method is the library's")
  func fisher() throws {
    try Self.inThePlane { tool, model in
      let (x, v, t) = (Self.x, Self.v, 0.3)
      let traced = try #require(model.traced)
      let schedule = VariancePreserving(betaMax: 10)
      let data = Tensor(try NPY.read(tool.path("data.npy")))
      let vjp = VJPFisher(traced)
      let product = vjp.fisher(at: x, time: t).matvec(v)
      let retrieval = RetrievalFisher(data, nearest: 8, on: schedule).fisher(at: x, time: t)
      let hybrid = HybridFisher(traced, or: RetrievalFisher(data, nearest: 8, on: schedule)).fisher(at: x, time: t)
      func samples<F: FisherAccess>(_ access: F) -> Tensor where F.Operator: FisherTrace {
        access.fisher(at: x, time: t).traceSamples()
      }
      let learned = samples(traced)
      let cases: [(method: String, traces: Tensor, product: Tensor?, evaluations: Int)] = [
        ("auto", learned, product, 2), ("trace-matching", learned, product, 2),
        ("vjp", samples(FullTrace(vjp)), product, 2),
        ("jvp", samples(FullTrace(JVPFisher(traced))), JVPFisher(traced).fisher(at: x, time: t).matvec(v), 3),
        (
          "finite-difference", samples(FullTrace(FiniteDifferenceFisher(traced))),
          FiniteDifferenceFisher(traced).fisher(at: x, time: t).matvec(v), 4
        ),
        ("hutchinson:4", samples(Hutchinson(vjp, probes: 4, seed: 5)), product, 2),
        ("hutch++:6", samples(HutchPlusPlus(vjp, probes: 6, seed: 5, on: schedule)), product, 2),
        (
          "gaussian", samples(GaussianFisher(data: data.to(.float32), on: schedule)),
          GaussianFisher(data: data.to(.float32), on: schedule).fisher(at: x, time: t).matvec(v), 1
        ),
        ("retrieval:8", retrieval.trace().expanded(at: 0), retrieval.matvec(v), 1),
        ("hybrid:8", hybrid.trace().expanded(at: 0), product, 3),
        ("null", samples(NullFisher(on: schedule)), NullFisher(on: schedule).fisher(at: x, time: t).matvec(v), 1),
      ]
      for (method, traces, product, evaluations) in cases {
        let answer = try tool.run([
          "fisher", "--model", "m", "--time", "0.3", "--at", "x.npy", "--direction", "v.npy", "--data", "data.npy",
          "--method", method, "--seed", "5", "--out", "f.safetensors", "--json",
        ])
        #expect(answer.status == 0 && answer.messages == "", "\(method)")
        let report: Fisher = try answer.json()
        #expect(report.method == (method == "auto" ? "trace-matching" : method))
        #expect(report.trace == traces.mean(0).doubles, "\(method)")
        #expect(report.network_evaluations == evaluations, "\(method): \(report.network_evaluations)")
        #expect(report.schedule == "vp:beta-max=10.0,beta-min=0.1")
        let file = try tool.arrays(in: "f.safetensors")
        func array(_ name: String) throws -> Tensor { Tensor(try file.array(named: name)) }
        #expect(try array("posterior_mean").isIdentical(to: traced.denoise(x, at: t)))
        expectClose(try array("score"), traced.score(x, at: t), within: 1e-5)
        if let product { #expect(try array("matvec").isIdentical(to: product), "\(method)") }
        let isEstimate = method.hasPrefix("hutch")
        #expect(file.names.contains("trace_standard_error") == isEstimate)
        #expect(file.names.contains("trace_bound") == method.hasSuffix(":8"))
        if method == "retrieval:8" {
          #expect(try array("trace_bound").doubles == retrieval.traceBound.doubles)
          #expect(report.exact_share != nil && report.trace_bound?.count == 3)
        }
        if method == "hybrid:8" { #expect(report.exact_share == hybrid.exactShare) }
      }
      // Near the data the nearest points are proven to be all.
      let near: Fisher = try tool.run([
        "fisher", "--model", "m", "--time", "0.001", "--at", "x.npy", "--method", "hybrid:40", "--data", "data.npy",
        "--json",
      ]).json()
      #expect(near.exact_share == 1 && near.trace_bound?.allSatisfy { $0 ?? 1 < 1 } == true)
    }
  }

  @Test("the schedule of a trained model may be repeated but not changed, and float64 is had on request")
  func schedules() throws {
    try Self.inThePlane(["--trace-form", "prediction-error"]) { tool, model in
      let call = ["fisher", "--model", "m", "--time", "0.3", "--at", "x.npy", "--json"]
      let answer: Fisher = try tool.run(call + ["--method", "residual"]).json()
      let learned = try #require(model.traced).fisher(at: Self.x, time: 0.3).trace()
      #expect(answer.trace == learned.doubles && answer.method == "residual" && answer.network_evaluations == 1)
      for same in ["vp:beta-max=10", "vp:beta-max=10,beta-min=0.1"] {
        #expect(try tool.run(call + ["--schedule", same]).status == 0)
      }
      for other in ["vp", "edm"] {
        let refused = try tool.run(call + ["--schedule", other])
        #expect(refused.status == 64 && refused.output == "")
        #expect(
          refused.messages
            == "scorefield: --schedule: m was trained on 'vp:beta-max=10.0,beta-min=0.1'; leave --schedule out\n")
      }
      let wide = try #require(model.mapParameters { $0.to(.float64) }.traced)
      let double: Fisher = try tool.run(call + ["--dtype", "float64", "--out", "f.safetensors"]).json()
      let x = Tensor(try NPY.read(tool.path("x.npy")))
      #expect(double.trace == wide.fisher(at: x, time: 0.3).trace().doubles && double.trace != answer.trace)
      #expect(try tool.arrays(in: "f.safetensors").elementType(of: "score") == .float64)
    }
  }

  struct Likelihoods: Decodable {
    let log_likelihood, bits_per_dim: [Double]
    let standard_error: [Double?]
    let nfe, network_evaluations: Int
    let prior, trace, outcome: String
    let levels: Int?
    let exact_share: Double?
  }

  @Test("the likelihood of a trained model is the library's, and its joint trace costs no evaluation more")
  func likelihood() throws {
    try Self.inThePlane { tool, model in
      let traced = try #require(model.traced)
      let call = ["likelihood", "--model", "m", "--samples", "x.npy", "--data", "data.npy", "--seed", "5", "--json"]
      let steps = ["--solver", "rk4:6"]
      let joint: Likelihoods = try tool.run(call).json()
      let truth = logLikelihood(of: Self.x, under: traced, from: 1e-3, to: 1)
      #expect(joint.log_likelihood == truth.logLikelihood.doubles && joint.outcome == "converged")
      #expect(joint.prior == "normal" && joint.trace == "trace-matching" && joint.standard_error == [0, 0, 0])
      #expect(joint.nfe == joint.network_evaluations && joint.nfe == truth.evaluations)

      let vjp = VJPFisher(traced)
      let solver = LikelihoodSolver.rungeKutta(.rk4, steps: 6)
      func check<F: FisherAccess>(_ name: String, _ access: F, perStep: Int) throws where F.Operator: FisherTrace {
        let found: Likelihoods = try tool.run(call + steps + ["--trace", name]).json()
        let truth = logLikelihood(of: Self.x, under: traced, trace: access, from: 1e-3, to: 1, solver: solver)
        #expect(found.log_likelihood == truth.logLikelihood.doubles, "\(name)")
        #expect(found.nfe == 24)
        // The probes are counted before the first step.
        let probing = name.hasPrefix("hutch") ? 1 : 0
        #expect(found.network_evaluations == perStep * 24 + probing, "\(name): \(found.network_evaluations)")
        #expect(found.standard_error == truth.standardError?.doubles ?? [0, 0, 0])
        #expect((found.exact_share != nil) == (name.hasSuffix(":8")))
      }
      let data = Tensor(try NPY.read(tool.path("data.npy")))
      let schedule = VariancePreserving(betaMax: 10)
      let nearest = RetrievalFisher(data, nearest: 8, on: schedule)
      try check("vjp", FullTrace(vjp), perStep: 2)
      try check("jvp", FullTrace(JVPFisher(traced)), perStep: 2)
      try check("finite-difference", FullTrace(FiniteDifferenceFisher(traced)), perStep: 3)
      try check("hutchinson:4", Hutchinson(vjp, probes: 4, seed: 5), perStep: 2)
      try check("hutch++:12", HutchPlusPlus(vjp, probes: 12, seed: 5, on: schedule), perStep: 2)
      try check("gaussian", GaussianFisher(data: data.to(.float32), on: schedule), perStep: 1)
      try check("null", NullFisher(on: schedule), perStep: 1)
      try check("retrieval:8", nearest, perStep: 1)
      try check("hybrid:8", HybridFisher(traced, or: nearest), perStep: 2)

      let exact = try tool.run(call + ["--prior", "exact"])
      #expect(exact.status == 64)
      #expect(exact.messages == "scorefield: --prior: 'exact' needs a model whose field is exact; use normal\n")
    }
  }

  @Test("samples of a trained model are the library's, by every solver", arguments: ["ddim", "heun", "dopri5"])
  func samples(_ solver: String) throws {
    try Self.inThePlane { tool, model in
      let traced = try #require(model.traced)
      let answer = try tool.run([
        "sample", "--model", "m", "--count", "5", "--seed", "7", "--steps", "6", "--solver", solver, "--out", "s.npy",
        "--trajectory", "t.safetensors",
      ])
      #expect(answer.status == 0 && answer.messages == "")
      let grid = TimeGrid.uniformHalfLogSNR(6, over: traced.schedule, from: 1, to: 1e-3)
      var generator = Generator(seed: 7)
      let start = startingNoise([5, 2], at: 1, on: traced.schedule, type: .float32, using: &generator)
      let truth =
        switch solver {
        case "ddim": sample(traced, from: start, along: grid, with: DDIM()).samples
        case "heun": sample(traced, from: start, along: grid, with: RungeKutta.heun).samples
        default: sample(traced, from: start, along: grid, with: FlowSolver(.dopri5(rtol: 1e-5, atol: 1e-5))).samples
        }
      #expect(Tensor(try NPY.read(tool.path("s.npy"))).isIdentical(to: truth))
      #expect(try tool.arrays(in: "t.safetensors").shape(of: "states") == [7, 5, 2])
    }
  }

  @Test("pictures with classes: levels, classes and shapes come from the checkpoint")
  func pictures() throws {
    try Tool.inTemporaryFolder { tool in
      let pixels = SplitMix(seed: 3).uniform(30 * 64).map { UInt8($0 * 17) }
      try tool.put(levels(pixels, shape: [30, 8, 8]), at: "data.npy")
      try tool.put(levels(Array(pixels.prefix(128)), shape: [2, 8, 8]), at: "x.npy")
      try tool.put(levels((0..<30).map { UInt8($0 % 3) }, shape: [30]), at: "classes.npy")
      let answer = try tool.run([
        "train", "--data", "data.npy", "--labels", "classes.npy", "--levels", "17", "--schedule", "edm", "--objective",
        "trace", "--network", "unet", "--width", "8", "--steps", "6", "--batch", "8", "--learning-rate", "0.05",
        "--out",
        "m",
      ])
      #expect(answer.status == 0 && answer.messages == "")
      let model = try TrainedModel(checkpoint: CheckpointFolder(tool.path("m")))
      let traced = try #require(model.conditioned(on: Tensor([1]).oneHot(3)).traced)

      let found: Likelihoods = try tool.run([
        "likelihood", "--model", "m", "--samples", "x.npy", "--class", "1", "--solver", "rk4:3", "--dequantize", "none",
        "--json",
      ]).json()
      let grey = GreyLevels(17).scaled(Tensor(try NPY.read(tool.path("x.npy"))).to(.float64), type: .float32)
      let truth = logLikelihood(
        of: grey, under: traced, from: 0.002, to: 80, solver: .rungeKutta(.rk4, steps: 3))
      #expect(found.levels == 17 && found.nfe == 12 && found.network_evaluations == 12)
      for (bits, nats) in zip(found.bits_per_dim, truth.logLikelihood.doubles) {
        #expect(abs(bits - (-nats / (64 * log(2)) + 3)) < 1e-5)
      }

      let call = ["sample", "--model", "m", "--count", "4", "--steps", "3", "--out"]
      for (more, isGood) in [
        (["s.png", "--class", "2"], true), (["t.npy", "--class", "3"], false), (["u.npy"], true),
      ] {
        let answer = try tool.run(call + more)
        #expect((answer.status == 0) == isGood, "\(answer.messages)")
      }
      #expect(try PNG.read(tool.path("s.png")).shape == [22, 22])
      #expect(try NPY.read(tool.path("u.npy")).shape == [4, 8, 8])
      let other = try tool.run(["fisher", "--model", "m", "--at", "x.npy", "--time", "1", "--levels", "256"])
      #expect(other.status == 64)
      #expect(other.messages == "scorefield: --levels: m was trained on 17 grey levels; leave --levels out\n")
    }
  }

  @Test("a model trained with vectors is asked with vectors")
  func vectors() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(SplitMix(seed: 1).uniform(40), shape: [20, 2], at: "data.npy")
      try tool.put(SplitMix(seed: 2).uniform(60), shape: [20, 3], at: "vectors.npy")
      try tool.put([1, 0, 0, 0, 1, 0], shape: [2, 3], at: "two.npy")
      try tool.put([1, 0, 0], shape: [1, 3], at: "one.npy")
      try tool.put([1, 0], shape: [1, 2], at: "short.npy")
      try tool.put([0.1, 0.2, 0.1, 0.2], shape: [2, 2], at: "x.npy")
      let answer = try tool.run([
        "train", "--data", "data.npy", "--labels", "vectors.npy", "--schedule", "flow", "--network", "mlp", "--width",
        "8", "--steps", "40", "--batch", "20", "--learning-rate", "0.05", "--out", "m",
      ])
      #expect(answer.status == 0)
      let model = try TrainedModel(checkpoint: CheckpointFolder(tool.path("m")))
      let call = ["sample", "--model", "m", "--start", "x.npy", "--steps", "4", "--out", "s.npy"]
      #expect(try tool.run(call + ["--condition", "two.npy"]).status == 0)
      let grid = TimeGrid.uniformHalfLogSNR(4, over: .flowMatching, from: 1 - 1e-5, to: 1e-3)
      let start = Tensor(rows: [[0.1, 0.2], [0.1, 0.2]]).to(.float32)
      let conditions = Tensor(rows: [[1, 0, 0], [0, 1, 0]]).to(.float32)
      let truth = sample(model.conditioned(on: conditions).denoiser, from: start, along: grid, with: DDIM()).samples
      let samples = Tensor(try NPY.read(tool.path("s.npy")))
      #expect(samples.isIdentical(to: truth) && !samples[0].isIdentical(to: samples[1]))

      let fisher = ["fisher", "--model", "m", "--time", "0.5", "--at", "x.npy"]
      #expect(try tool.run(fisher + ["--condition", "one.npy"]).status == 0)
      let bad: [([String], Int32, String)] = [
        (["--class", "1"], 64, "--class: 1 is no class of m; give a vector with --condition"),
        (
          ["--condition", "short.npy"], 65,
          "short.npy: has shape [1, 2], and m was trained with vectors of length 3; give shape [1, 3] or [B, 3]"
        ),
        (["--condition", "two.npy"], 65, "two.npy: has 2 rows, and there can be one here; give one row"),
        (["--condition", "none.npy"], 66, "none.npy: no such file; check the path"),
      ]
      for (more, status, line) in bad {
        let answer = try tool.run(fisher + more)
        #expect(answer.status == status && answer.messages == "scorefield: \(line)\n")
      }
    }
  }

  @Test("a folder that is no model any more is one sentence")
  func damage() throws {
    try Self.inThePlane { tool, _ in
      let model = try tool.bytes(of: "m/model.safetensors")
      let text = String(decoding: try tool.bytes(of: "m/config.json"), as: UTF8.self)
      func put(_ text: String) throws { try tool.put(Array(text.utf8), at: "m/config.json") }
      func expectLine(_ status: Int32, _ line: String, _ place: SourceLocation = #_sourceLocation) throws {
        let answer = try tool.run(["sample", "--model", "m", "--count", "2", "--out", "s.npy"])
        #expect(answer.status == status && answer.output == "", sourceLocation: place)
        #expect(answer.messages == "scorefield: \(line)\n", sourceLocation: place)
        #expect(try !tool.names().contains("s.npy"), sourceLocation: place)
      }
      func expectProblem(_ from: String, _ to: String, _ problem: String, _ place: SourceLocation = #_sourceLocation)
        throws
      {
        #expect(text.contains(from), sourceLocation: place)
        try put(text.replacingOccurrences(of: from, with: to))
        try expectLine(
          65, "m/config.json: \(problem); restore the file that training wrote, or update the program", place)
      }
      let restore = "restore the file that training wrote"
      try put("{")
      try expectLine(65, "m/config.json: is not JSON, or holds a number that does not fit; \(restore)")
      try put("")
      try expectLine(65, "m/config.json: is empty; write it again")
      try put(text.replacingOccurrences(of: "\"mlp\"", with: "\"dit\""))
      try expectLine(
        65, "m/config.json: its 'network' cannot be used (a network is one of mlp, multiscale, unet); \(restore)")
      try put(text.replacingOccurrences(of: "\"sigmaData\"", with: "\"sigma\""))
      try expectLine(65, "m/config.json: has no 'sigmaData'; \(restore)")
      try put(text.replacingOccurrences(of: "\"edm\"", with: "\"x\""))
      let answer = try tool.run(["sample", "--model", "m", "--count", "2", "--out", "s.npy"])
      #expect(
        answer.status == 65 && answer.messages.hasPrefix("scorefield: m/config.json: its 'prediction' cannot be used"))
      try expectProblem(
        "\"formatVersion\" : 1", "\"formatVersion\" : 2", "is of format 2, and this version reads format 1")
      try expectProblem(
        "\"vp\"", "\"pv\"",
        "its schedule: 'pv' is no schedule")
      try expectProblem(
        "\"width\" : 16", "\"width\" : 0", "its network: dimension, width and depth are at least 1")
      try expectProblem("\"width\" : 16", "\"width\" : 99999999", "its network: widths and depths are at most 65536")
      try expectProblem(
        "\"dimension\" : 2", "\"dimension\" : 3", "its network: it is for points of 3 numbers, and a sample has 2")

      try put(text)
      try Data(model.prefix(model.count / 2)).write(to: tool.folder.appending(path: "m/model.safetensors"))
      let cut = try tool.run(["sample", "--model", "m", "--count", "2", "--out", "s.npy"])
      #expect(cut.status == 65 && cut.output == "" && cut.messages.hasPrefix("scorefield: m/model.safetensors: "))
      #expect(cut.messages.split(separator: "\n").count == 1)
      try put(text.replacingOccurrences(of: "\"width\" : 16", with: "\"width\" : 12"))
      try model.write(to: tool.folder.appending(path: "m/model.safetensors"))
      let other = try tool.run(["sample", "--model", "m", "--count", "2", "--out", "s.npy"])
      #expect(other.status == 65 && other.messages.contains("has shape [16, "), "\(other.messages)")
      try put(text)
      try FileManager.default.removeItem(atPath: tool.path("m/model.safetensors"))
      try expectLine(66, "m/model.safetensors: no such file; check the path")
    }
  }
}
