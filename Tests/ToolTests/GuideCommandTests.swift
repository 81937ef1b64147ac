import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct GuideCommandTests {
  struct Report: Decodable {
    let method, outcome, loss, measurement: String
    let mean_loss, seconds_per_step: [Double]
    let mean_final_loss, seconds: Double
    let system_residual, zeta: Double?
    let samples, dimension, steps, guide_from, guide_to, prediction_steps, network_evaluations: Int
  }

  private func put(_ tool: Tool) throws {
    try tool.put(
      Array(
        #"{"weights":[0.5,0.5],"means":[[-1,0.5],[1,-0.5]],"stds":[0.4,0.5]}"#.utf8), at: "two.json")
    try tool.put([0.8, -0.2], shape: [1, 2], at: "target.npy")
    try tool.put([1, 0], shape: [2], at: "mask.npy")
    try tool.put([30, -40, 10, 20, -60, 5], shape: [3, 2], at: "start.npy")
  }

  @Test(
    "Spec: F5 samples and losses are the library's, for a field's own products and for endpoints",
    arguments: ["exact", "vjp", "secant:2", "centred", "endpoint"])
  func answers(method: String) throws {
    try Tool.inTemporaryFolder { tool in
      try put(tool)
      let answer = try tool.run([
        "guide", "--model", "two.json", "--schedule", "edm", "--loss", "target:target.npy", "--measurement",
        "inpaint:mask.npy", "--method", method, "--start", "start.npy", "--steps", "12", "--guide-from", "2",
        "--guide-to",
        "9", "--strength", "0.1", "--out", "g.safetensors", "--json",
      ])
      #expect(answer.status == 0, "\(answer.messages)")
      let report: Report = try answer.json()
      let field = GaussianMixtureDenoiser(
        try GaussianMixture(means: Tensor(rows: [[-1, 0.5], [1, -0.5]]), standardDeviations: Tensor([0.4, 0.5])),
        on: .edm)
      func run<F: FisherAccess>(_ fisher: (PathEnd) -> F) -> GuidedSamples where F.Operator: FisherMatvec {
        guidedSample(
          field, from: Tensor([30.0, -40, 10, 20, -60, 5], shape: [3, 2]),
          along: .uniformHalfLogSNR(12, over: .edm, from: 80, to: 0.002),
          guidance: AdjointGuidance(guided: 2..<9, strength: 0.1), fisher: fisher,
          loss: { ($0[Axis.all, 0] - 0.8).squared() })
      }
      let truth =
        switch method {
        case "exact": run { _ in ExactFisher(field) }
        case "vjp": run { _ in VJPFisher(field) }
        case "secant:2":
          run { FiniteDifferenceFisher(field, scheme: .backward, relativeStep: 2, longest: $0.distance) }
        case "centred": run { EndpointFisher(field, endpoint: $0.endpoint, form: .centred) }
        default: run { EndpointFisher(field, endpoint: $0.endpoint) }
        }
      let file = try tool.arrays(in: "g.safetensors")
      #expect(Set(file.names) == ["samples", "loss"])
      expectClose(Tensor(try file.array(named: "samples")), truth.samples, within: 1e-10)
      expectClose(Tensor(try file.array(named: "loss")), truth.losses, within: 1e-9)
      expectClose(Tensor(report.mean_loss), truth.losses.mean(-1), within: 1e-9)
      #expect(report.mean_final_loss == report.mean_loss.last && report.outcome == "converged")
      #expect(report.mean_loss.count == 8 && report.seconds_per_step.count == 8 && report.method == method)
      #expect(method == "endpoint" || report.mean_loss[7] < 0.6 * report.mean_loss[0])
      #expect(report.samples == 3 && report.dimension == 2 && report.network_evaluations >= 12)
    }
  }

  /// What all steps make of what is seen of a target through a mask.
  private func inpainted(_ tool: Tool, by method: String, steps: Int, _ more: [String]) throws -> Report {
    try tool.run(
      [
        "guide", "--model", "two.json", "--schedule", "edm", "--loss", "target:target.npy", "--measurement",
        "inpaint:mask.npy", "--method", method, "--start", "start.npy", "--json", "--steps", "\(steps)", "--guide-from",
        "0", "--guide-to", "\(steps)",
      ] + more
    ).json()
  }

  @Test("posterior sampling is the neighbour: it lowers the loss too")
  func posterior() throws {
    try Tool.inTemporaryFolder { tool in
      try put(tool)
      func ask(_ more: String...) throws -> Report { try inpainted(tool, by: "dps", steps: 200, more) }
      let (pulled, hardly) = (try ask("--deviation", "0.3"), try ask("--deviation", "1000"))
      #expect(pulled.mean_final_loss < 0.3 * hardly.mean_final_loss && pulled.method == "dps")
    }
  }

  @Test("with the spread of the estimate the loss falls too, and the report says whose products it took")
  func moments() throws {
    try Tool.inTemporaryFolder { tool in
      try put(tool)
      func ask(_ deviation: String) throws -> Report {
        try inpainted(tool, by: "moments", steps: 100, ["--deviation", deviation])
      }
      let (matched, hardly) = (try ask("0.3"), try ask("1000"))
      #expect(matched.method == "moments:exact" && matched.outcome == "converged")
      #expect(matched.mean_final_loss < 0.3 * hardly.mean_final_loss)
      #expect(matched.system_residual.map { $0 < 1e-5 } == true)
    }
  }

  @Test("what was seen without noise pulls posterior sampling by steps of a length, and more with a longer one")
  func noiseless() throws {
    try Tool.inTemporaryFolder { tool in
      try put(tool)
      func ask(_ more: String...) throws -> Report {
        try inpainted(tool, by: "dps", steps: 200, ["--deviation"] + more)
      }
      let (free, weak, strong) = (try ask("1000"), try ask("0", "--zeta", "2"), try ask("0"))
      #expect(free.zeta == nil && weak.zeta == 2 && strong.zeta == 100)
      #expect(weak.mean_final_loss < free.mean_final_loss && strong.mean_final_loss < 0.1 * free.mean_final_loss)
      #expect(strong.outcome == "converged")
    }
  }

  @Test("as text the products that were taken are named too")
  func text() throws {
    try Tool.inTemporaryFolder { tool in
      try put(tool)
      func ask(_ method: String) throws -> String {
        try tool.run([
          "guide", "--model", "two.json", "--schedule", "edm", "--loss", "target:target.npy", "--start", "start.npy",
          "--steps", "12", "--guide-from", "3", "--guide-to", "8", "--method", method,
        ]).output
      }
      for (method, picked) in [
        ("auto", "exact"), ("dps", "dps"), ("moments", "moments:exact"),
        ("recommended", "recommended:finite-difference"),
      ] {
        let line = try ask(method)
        #expect(line.hasPrefix("mean loss of 3 samples ") && line.hasSuffix(", by \(picked)\n"), "\(line)")
      }
      // The points of a data set, by their spacing and spread.
      try tool.put(SplitMix(seed: 21).symmetric([60, 2]).hostArray, at: "points.npy")
      let line = try tool.run([
        "guide", "--model", "points.npy", "--schedule", "edm", "--loss", "target:target.npy", "--start", "start.npy",
        "--steps", "12", "--guide-from", "3", "--guide-to", "8", "--method", "recommended",
      ]).output
      #expect(line.hasSuffix(", by recommended:gaussian,retrieval:60,null\n"), "\(line)")
    }
  }

  @Test("Spec: F5 for a network the recommended products are taken, and the report names all that were asked")
  func recommended() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(SplitMix(seed: 6).symmetric([80, 2]).hostArray, at: "data.npy")
      try tool.put([0.5, 0], shape: [1, 2], at: "target.npy")
      let trained = try tool.run([
        "train", "--data", "data.npy", "--schedule", "edm", "--network", "mlp", "--width", "8", "--depth", "1",
        "--steps",
        "20", "--batch", "16", "--out", "m",
      ])
      #expect(trained.status == 0, "\(trained.messages)")
      func ask(_ more: [String]) throws -> Report {
        try tool.run(
          [
            "guide", "--model", "m", "--loss", "target:target.npy", "--count", "3", "--steps", "20", "--from", "5",
            "--to",
            "0.01", "--guide-from", "5", "--guide-to", "15", "--json",
          ] + more
        ).json()
      }
      let (near, far) = (try ask(["--data", "data.npy"]), try ask([]))
      // With data at hand or not: 20 steps and the end, and in each guided one 4 to the end and 4 back.
      #expect(near.method == "secant:8" && far.method == "secant:8" && near.outcome == "converged")
      #expect(near.network_evaluations == 21 + 10 * 8 && far.network_evaluations == near.network_evaluations)
      let named = try ask(["--data", "data.npy", "--method", "recommended"])
      #expect(named.method == "recommended:gaussian,finite-difference" && named.outcome == "converged")
      let (matched, free) = (try ask(["--method", "moments"]), try ask(["--strength", "0"]))
      #expect(matched.method == "moments:finite-difference" && matched.outcome == "converged")
      #expect(matched.mean_final_loss < 0.5 * free.mean_final_loss)
    }
  }

  @Test("systems of the spread that did not settle are told, and the loss falls all the same")
  func unsettled() throws {
    try Tool.inTemporaryFolder { tool in
      // Deviations from 1 to a thousandth, more of them than there are iterations.
      let rows = (0..<60).map { row in (0..<60).map { $0 == row ? pow(10, -0.1 * Double(row)) : 0 } }
      let means = [Double](repeating: 0, count: 60)
      try tool.put(Array(#"{"weights":[1],"means":[\#(means)],"covariances":[\#(rows)]}"#.utf8), at: "wide.json")
      try tool.put(SplitMix(seed: 7).symmetric([1, 60]).hostArray, at: "target.npy")
      let command = [
        "guide", "--model", "wide.json", "--schedule", "edm", "--loss", "target:target.npy", "--count", "3", "--steps",
        "20", "--guide-from", "5", "--guide-to", "18", "--deviation", "0.001", "--method",
      ]
      let matched: Report = try tool.run(command + ["moments", "--json"]).json()
      let free: Report = try tool.run(command + ["auto", "--strength", "0", "--json"]).json()
      #expect(matched.outcome == "stepLimit" && matched.system_residual.map { $0 > 1e-5 && $0 <= 1 } == true)
      #expect(
        matched.mean_final_loss < 0.2 * free.mean_final_loss, "\(matched.mean_final_loss) \(free.mean_final_loss)")
      let text = try tool.run(command + ["moments"]).output.split(separator: "\n")
      #expect(text.count == 2 && text[1].hasPrefix("systems of the spread did not settle: 0."), "\(text)")
    }
  }

  /// A copy of a module that the tests of the engine use.
  private func module(_ name: String, for tool: Tool) throws -> String {
    let golden = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../Golden/scripts/\(name).pt")
    try FileManager.default.copyItem(atPath: golden.standardized.path, toPath: tool.path("\(name).pt"))
    return "\(name).pt"
  }

  private func images(_ tool: Tool) throws {
    try tool.put(SplitMix(seed: 1).symmetric([60, 1, 4, 4]).hostArray, at: "images.npy")
    try tool.put(SplitMix(seed: 2).symmetric([1, 1, 4, 4]).hostArray, at: "example.npy")
    try SafeTensors.write(
      [
        ("0.weight", (SplitMix(seed: 3).symmetric([3, 64]) / 4).hostArray),
        ("0.bias", Tensor([0.1, 0, 0.2]).hostArray),
        ("1.weight", SplitMix(seed: 4).symmetric([1, 3]).hostArray),
      ], to: tool.path("head.safetensors"))
  }

  @Test(
    "losses of the user's own modules are asked, and fall",
    arguments: ["script:loss.pt", "class:classifier.pt:2", "style:example.npy", "reward:head.safetensors:relu"])
  func modules(loss: String) throws {
    try Tool.inTemporaryFolder { tool in
      try images(tool)
      for name in ["loss", "classifier", "features"] { _ = try module(name, for: tool) }
      let features = loss.hasPrefix("style") || loss.hasPrefix("reward") ? ["--features", "features.pt"] : []
      func ask(_ strength: String) throws -> (Report, Tensor, Tensor) {
        let answer = try tool.run(
          [
            "guide", "--model", "images.npy", "--schedule", "edm", "--loss", loss, "--count", "5", "--steps", "20",
            "--guide-from", "8", "--guide-to", "16", "--strength", strength, "--out", "g.safetensors", "--json",
          ] + features)
        #expect(answer.status == 0, "\(answer.messages)")
        let file = try tool.arrays(in: "g.safetensors")
        return (try answer.json(), Tensor(try file.array(named: "samples")), Tensor(try file.array(named: "loss")))
      }
      let (free, guided) = (try ask("0"), try ask("0.2"))
      #expect(guided.0.mean_final_loss < free.0.mean_final_loss && guided.0.loss == loss)
      // What is written is the loss of what is written.
      let samples = guided.1
      let truth: Tensor
      switch loss.prefix(while: { $0 != ":" }) {
      case "script": truth = try ScriptModule(tool.path("loss.pt"))(samples)
      case "class": truth = -(try ScriptModule(tool.path("classifier.pt"))(samples)).logSoftmax(-1)[Axis.all, 2]
      case "style":
        let features = try ScriptModule(tool.path("features.pt"))
        truth = try StyleLoss(example: SplitMix(seed: 2).symmetric([1, 1, 4, 4])) { (x) throws(ArrayFileError) in
          try features(x)
        }(samples)
      default:
        let head = try RewardHead(tool.path("head.safetensors"), type: .float64, activation: .relu)
        truth = -head(try ScriptModule(tool.path("features.pt"))(samples))
      }
      expectClose(guided.2[guided.2.batch - 1], truth, within: 1e-9)
    }
  }

  @Test(
    "a module that does not fit is named before anything is drawn",
    arguments: [
      (
        ["--loss", "script:mean.pt"],
        "mean.pt: answers with float64 of shape [] for 2 samples; give one number per sample"
      ),
      (["--loss", "script:features.pt"], "features.pt: answers with float64 of shape [2, 4, 4, 4] for 2 samples; "),
      (
        ["--loss", "script:pair.pt"],
        "pair.pt: does not take float64 [2, 1, 4, 4] (it answers with Tuple, not with a tensor); "
      ),
      (["--loss", "class:classifier.pt:3"], "classifier.pt: answers with shape [2, 3] for 2 samples and class 3; "),
      (["--loss", "class:features.pt:0"], "features.pt: answers with shape [2, 4, 4, 4] for 2 samples and class 0; "),
      (
        ["--loss", "reward:head.safetensors", "--features", "classifier.pt"],
        "head.safetensors: takes 64 numbers per sample, the features have 3; give the head of these features"
      ),
      (
        ["--loss", "style:example.npy", "--features", "loss.pt"], "loss.pt: gives no channels; give features [B, C, …]"
      ),
    ] as [([String], String)])
  func unfit(options: [String], message: String) throws {
    try Tool.inTemporaryFolder { tool in
      try images(tool)
      for name in ["loss", "classifier", "features", "pair", "mean"] { _ = try module(name, for: tool) }
      let answer = try tool.run(
        ["guide", "--model", "images.npy", "--schedule", "edm", "--count", "2", "--out", "g.safetensors"] + options)
      #expect(answer.status == 65 && answer.output == "", "\(answer.messages)")
      #expect(answer.messages.hasPrefix("scorefield: \(message)"), "\(answer.messages)")
      #expect(try !tool.names().contains("g.safetensors"))
    }
  }

  private func ask(_ tool: Tool, _ name: String, count: Int = 3) throws -> Tool.Answer {
    _ = try module(name, for: tool)
    return try tool.run([
      "guide", "--model", "images.npy", "--schedule", "edm", "--steps", "12", "--guide-from", "3", "--guide-to", "8",
      "--loss", "script:\(name).pt", "--count", "\(count)", "--out", "g.safetensors",
    ])
  }

  @Test("a module is asked for as many samples as there will be: one for exactly so many will do")
  func batches() throws {
    try Tool.inTemporaryFolder { tool in
      try images(tool)
      #expect(try ask(tool, "three").status == 0)
      let two = try ask(tool, "two")
      #expect(two.status == 65 && two.output == "")
      #expect(
        two.messages
          == "scorefield: two.pt: answers with float64 of shape [2] for 3 samples; give one number per sample\n")
    }
  }

  @Test(
    "a loss without a gradient is refused, one that is flat where the samples are is not",
    arguments: ["detached", "constant"])
  func independent(name: String) throws {
    try Tool.inTemporaryFolder { tool in
      try images(tool)
      let answer = try ask(tool, name)
      #expect(answer.status == 65 && answer.output == "")
      #expect(
        answer.messages
          == "scorefield: \(name).pt: gives a loss that does not depend on the samples, as far as gradients know; "
          + "compute it from them with differentiable operations, without detach or no_grad\n")
      #expect(try !tool.names().contains("g.safetensors"))
      #expect(try ask(tool, "hinge").status == 0)
    }
  }

  @Test(
    "a loss that is no number, or whose gradient is none, ends the command with its sample and step",
    arguments: [
      ("root", "the loss of sample 0 is nan at guided step 3"),
      ("rough", "the loss of sample 0 has a gradient that is no number at guided step 3"),
    ])
  func notFinite(name: String, message: String) throws {
    try Tool.inTemporaryFolder { tool in
      try images(tool)
      let answer = try ask(tool, name)
      #expect(answer.status == 65 && answer.output == "")
      #expect(
        answer.messages
          == "scorefield: \(name).pt: \(message); give one that is finite, and so is its gradient, wherever samples may be\n"
      )
      #expect(try !tool.names().contains("g.safetensors"))
    }
  }

  @Test(
    "what cannot be is one line, the right status, nothing on stdout and no file",
    arguments: [
      (["--loss", "style"], 64, "--loss: 'style' is no loss; write target:FILE.npy, class:CLASSIFIER.pt:k, "),
      (["--loss", "beauty:x"], 64, "--loss: 'beauty:x' is no loss; write target:FILE.npy, class:CLASSIFIER.pt:k, "),
      (["--loss", "class:x.pt"], 64, "--loss: 'class:x.pt' lacks a class; write class:CLASSIFIER.pt:k"),
      (["--loss", "style:target.npy"], 64, "--features: is missing; give a TorchScript module, FILE.pt, for 'style:"),
      (
        ["--features", "x.pt"], 64,
        "--features: is for style and reward, and the loss is 'target:target.npy'; leave it out"
      ),
      (
        ["--loss", "script:x.pt", "--measurement", "inpaint:mask.npy"], 64,
        "--measurement: is for targets, and the loss is 'script:x.pt'; leave it out"
      ),
      (
        ["--loss", "script:x.pt", "--method", "dps"], 64,
        "--method: 'dps' needs a measurement, and the loss is 'script:x.pt'; "
      ),
      (["--loss", "script:none.pt"], 66, "none.pt: "),
      (["--loss", "script:target.npy"], 65, "target.npy: is no TorchScript module; save one with torch.jit.script("),
      (["--loss", "target:none.npy"], 66, "none.npy: "),
      (["--loss", "target:wide.npy"], 65, "wide.npy: holds samples of shape [3], the model of shape [2]; "),
      (["--measurement", "sum"], 64, "--measurement: 'sum' is no measurement; use none, inpaint:MASK.npy, "),
      (["--measurement", "inpaint"], 64, "--measurement: 'inpaint' lacks MASK.npy; write inpaint:MASK.npy"),
      (["--measurement", "inpaint:wide.npy"], 65, "wide.npy: has shape [1, 3], the samples [2]; "),
      (
        ["--measurement", "matrix:wide.npy"], 65, "wide.npy: has shape [1, 3], and a sample has 2 numbers; give [m, 2]"
      ),
      (["--measurement", "inpaint:none.npy"], 66, "none.npy: "),
      (
        ["--measurement", "inpaint:nothing.npy"], 65,
        "nothing.npy: sees nothing: all of it is zero; give a number other than 0 where something is seen"
      ),
      (["--measurement", "blur"], 64, "--measurement: 'blur' lacks WIDTH; write blur:WIDTH"),
      (
        ["--measurement", "blur:11"], 64,
        "--measurement: '11' is no width of a blur in pixels; give a number above 0, up to 10"
      ),
      (
        ["--measurement", "downsample:0"], 64,
        "--measurement: '0' is no factor to downsample by; give a whole number from 1"
      ),
      (["--deviation", "0"], 64, "--deviation: 0.0 is no deviation; give a positive number, or use --method dps"),
      (["--zeta", "1"], 64, "--zeta: is for --deviation 0; leave it out"),
      (["--measurement", "downsample:2"], 64, "--measurement: needs images, and samples have shape [2]; "),
      (["--guide-to", "51"], 64, "--guide-from: 15 and --guide-to 51 are no steps of 50; give 0 ≤ from < to ≤ 50"),
      (["--strength", "nan"], 64, "--strength: nan is no strength; give a number such as 0.2"),
      (["--method", "hybrid"], 64, "--method: 'hybrid:64' needs a model that was trained with --objective trace; "),
      (
        ["--method", "gaussian"], 64,
        "--method: 'gaussian' needs a data set and the model is none; give one with --data"
      ),
    ] as [([String], Int32, String)])
  func refusals(options: [String], status: Int32, message: String) throws {
    try Tool.inTemporaryFolder { tool in
      try put(tool)
      try tool.put([1, 2, 3], shape: [1, 3], at: "wide.npy")
      try tool.put([0, 0], shape: [2], at: "nothing.npy")
      var arguments = ["--loss": "target:target.npy", "--count": "2", "--out": "g.safetensors"]
      for index in stride(from: 0, to: options.count, by: 2) { arguments[options[index]] = options[index + 1] }
      let answer = try tool.run(
        ["guide", "--model", "two.json", "--schedule", "edm"] + arguments.flatMap { [$0.key, $0.value] })
      #expect(answer.status == status && answer.output == "", "\(answer.messages)")
      #expect(answer.messages.hasPrefix("scorefield: \(message)"), "\(answer.messages)")
      #expect(try !tool.names().contains("g.safetensors"))
    }
  }
}
