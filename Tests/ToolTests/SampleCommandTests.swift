import Foundation
import Scorefield
import ScorefieldImages
import ScorefieldTestSupport
import Testing

@Suite struct SampleCommandTests {
  struct Report: Decodable {
    let outcome, solver: String
    let nfe, network_evaluations, samples, steps: Int
    let seconds: Double
  }

  /// What forty steps and the last look cost.
  static let evaluations = [
    "ddim": 41, "euler": 41, "heun": 81, "rk4": 161, "deis-1": 41, "deis-2": 41, "deis-3": 41,
    "deis-3:start=single-step": 47,
    "dpm-solver-1": 41, "dpm-solver-2": 81, "dpm-solver-3": 121, "dpm-solver++-1": 41, "dpm-solver++-2s": 81,
    "dpm-solver++-2m": 41, "dpm-solver++-3m": 43, "dpm-solver++-3m:start=lower-order": 41, "dpm-solver++-3s": 121,
    "unipc-1": 41, "unipc-2": 41, "unipc-3": 41, "unipc-3:start=lower-order": 41, "unipc-3:start=single-step": 45,
    "pndm": 50,
    "ipndm": 41, "edm-heun": 81, "heun-lambda": 81, "exponential-heun": 81, "edict": 81, "edict:p=1": 81, "bdia": 41,
    "bdia:gamma=0.9": 41, "belm": 41,
  ]

  @Test(
    "the samples of a data set are its points, by every solver",
    arguments: evaluations.keys.sorted() + ["dopri5", "dpm-solver-12", "dpm-solver-23:rtol=1e-4,atol=1e-4"])
  func points(_ solver: String) throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put([1, 0, -1, 0.5, 0, -1], shape: [3, 2], at: "points.npy")
      let answer = try tool.run([
        "sample", "--model", "points.npy", "--schedule", "vp", "--solver", solver, "--steps", "40", "--count", "7",
        "--out",
        "s.npy", "--json", "--to", "1e-4",
      ])
      let report: Report = try answer.json()
      if let expected = Self.evaluations[solver] { #expect(report.nfe == expected) }
      #expect(report.samples == 7 && report.outcome == "converged" && report.nfe == report.network_evaluations)

      let samples = Tensor(try NPY.read(tool.path("s.npy")))
      let points = Tensor(rows: [[1, 0], [-1, 0.5], [0, -1]])
      #expect(samples.shape == [7, 2])
      #expect(samples.distances(to: points).min(-1).max().item < 1e-3)
    }
  }

  @Test("the path holds times, states and what the model saw at each, and ends in the samples")
  func path() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put([1, 0, -1, 0.5], shape: [2, 2], at: "points.npy")
      try tool.put([3, 4, -2, 5], shape: [2, 2], at: "x.npy")
      let answer = try tool.run([
        "sample", "--model", "points.npy", "--schedule", "edm", "--steps", "5", "--grid", "karras:rho=5", "--start",
        "x.npy",
        "--from", "10", "--to", "0.1", "--no-final-denoise", "--out", "s.safetensors", "--trajectory", "t.safetensors",
      ])
      #expect(answer.status == 0)
      let path = try tool.arrays(in: "t.safetensors")
      func array(_ name: String) throws -> Tensor { Tensor(try path.array(named: name)) }
      #expect(try array("times").doubles == TimeGrid.karras(5, over: .edm, rho: 5, from: 10, to: 0.1).times)
      let (states, denoised) = (try array("states"), try array("denoised"))
      #expect(states.shape == [6, 2, 2] && denoised.shape == [5, 2, 2])
      #expect(states[0].isIdentical(to: Tensor(rows: [[3, 4], [-2, 5]])))
      let samples = Tensor(try tool.arrays(in: "s.safetensors").array(named: "samples"))
      #expect(states[5].isIdentical(to: samples))
      let field = EmpiricalDenoiser(data: Tensor(rows: [[1, 0], [-1, 0.5]]), on: .edm)
      expectClose(denoised[0], field.denoise(states[0], at: 10), within: 1e-15)
    }
  }

  @Test("an adaptive run does not stumble over the kinks of a table of noise levels")
  func tables() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(Array(#"{"weights":[1],"means":[[0.5]],"stds":[0.7]}"#.utf8), at: "m.json")
      try tool.put([1.5, -0.3], shape: [2, 1], at: "x.npy")
      let answer = try tool.run([
        "sample", "--model", "m.json", "--schedule", "scaled-linear", "--solver", "dopri5:rtol=1e-9,atol=1e-9",
        "--steps",
        "5", "--start", "x.npy", "--to", "1", "--no-final-denoise", "--out", "s.npy", "--json",
      ])
      let report: Report = try answer.json()
      #expect(report.outcome == "converged" && report.nfe < 2000)
      // Of a Gaussian the flow keeps how many standard deviations a point is from the mean.
      let schedule = DiscreteSchedule.stableDiffusion
      func deviation(_ x: Double, _ t: Double) -> Double {
        let k = schedule.kernel(at: t)
        return (x - k.alpha * 0.5) / (k.alpha * k.alpha * 0.49 + k.sigma * k.sigma).squareRoot()
      }
      for (start, end) in zip([1.5, -0.3], Tensor(try NPY.read(tool.path("s.npy"))).doubles) {
        #expect(abs(deviation(end, 1) - deviation(start, 999)) < 1e-7)
      }
    }
  }

  @Test("steps tried at once end where they do one by one, in fewer rounds")
  func parallel() throws {
    try Tool.inTemporaryFolder { tool in
      struct Parallel: Decodable {
        let nfe: Int
        let rounds: Int?
      }
      try tool.put(Array(#"{"weights":[0.4,0.6],"means":[[0.5],[-1]],"stds":[0.7,0.5]}"#.utf8), at: "m.json")
      try tool.put([1.5, -0.3, 0.1], shape: [3, 1], at: "x.npy")
      func run(_ solver: String, _ more: String...) throws -> (Parallel, [Double]) {
        let call = [
          "sample", "--model", "m.json", "--schedule", "vp", "--solver", solver, "--steps", "30", "--start", "x.npy",
          "--out",
          "s.npy", "--json",
        ]
        return (try tool.run(call + more).json(), Tensor(try NPY.read(tool.path("s.npy"))).doubles)
      }
      for solver in ["ddim", "euler", "dpm-solver++-2m"] {
        let (plain, expected) = try run(solver)
        #expect(plain.nfe == 31 && plain.rounds == nil)
        #expect(try run(solver, "--parallel", "10", "--parallel-tolerance", "0").1 == expected)
        let (report, close) = try run(solver, "--parallel", "30", "--parallel-tolerance", "1e-3")
        #expect(report.rounds! < 20 && report.nfe > 31)
        #expect(zip(close, expected).allSatisfy { abs($0 - $1) < 1e-2 })
        #expect(try run(solver, "--parallel", "30").0.rounds! <= report.rounds!)
      }
      let words = try tool.run([
        "sample", "--model", "m.json", "--schedule", "vp", "--steps", "30", "--start", "x.npy", "--out", "s.npy",
        "--parallel", "30",
      ])
      let report = try run("ddim", "--parallel", "30").0
      #expect(words.output == "3 samples in s.npy, \(report.nfe) evaluations in \(report.rounds!) rounds\n")
    }
  }

  @Test("images become one picture")
  func picture() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(levels([0, 16, 16, 0, 16, 16, 0, 0], shape: [2, 2, 2]), at: "points.npy")
      let answer = try tool.run([
        "sample", "--model", "points.npy", "--levels", "17", "--schedule", "edm", "--steps", "10", "--count", "4",
        "--out",
        "s.png",
      ])
      #expect(answer.status == 0 && answer.output == "4 samples in s.png, 11 evaluations\n")
      let picture = try PNG.read(tool.path("s.png"))
      #expect(picture.shape == [10, 10])
      // Sampled points are black and white pixels.
      #expect(Set(Tensor(picture).integers) == [0, 255])
    }
  }

  @Test("the same seed draws the same samples on any number of threads")
  func seeds() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put([1, 0, -1, 0.5, 0, -1], shape: [3, 2], at: "points.npy")
      func samples(_ more: String...) throws -> [Double] {
        let call = [
          "sample", "--model", "points.npy", "--schedule", "flow", "--count", "5", "--steps", "6", "--out", "s.npy",
        ]
        #expect(try tool.run(call + more).status == 0)
        return Tensor(try NPY.read(tool.path("s.npy"))).doubles
      }
      let one = try samples("--seed", "3", "--threads", "1", "--no-final-denoise", "--to", "0.2")
      #expect(try samples("--seed", "3", "--threads", "2", "--no-final-denoise", "--to", "0.2") == one)
      #expect(try samples("--seed", "4", "--threads", "1", "--no-final-denoise", "--to", "0.2") != one)
    }
  }

  @Test(
    "samplers with noise have the same bits from the same seed, other ones from another, and are the library's",
    arguments: [
      "ddim:eta=1", "ddpm", "ddpm:variance=large", "euler-maruyama", "euler-maruyama:share=0.5", "reverse-diffusion",
      "predictor-corrector:snr=0.1,count=2", "annealed-langevin:size=0.1,count=3", "edm-heun:churn=20",
      "sde-dpm-solver++-1", "sde-dpm-solver++-2m",
    ])
  func noisy(solver: String) throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(
        Array(#"{"weights":[0.5,0.5],"means":[[-1,0.5],[1,-0.5]],"stds":[0.4,0.5]}"#.utf8), at: "two.json")
      func ask(_ seed: String) throws -> Tensor {
        let answer = try tool.run([
          "sample", "--model", "two.json", "--schedule", "vp", "--solver", solver, "--steps", "40", "--count", "300",
          "--seed", seed, "--out", "s.npy",
        ])
        #expect(answer.status == 0, "\(answer.messages)")
        return Tensor(try NPYFile(tool.path("s.npy")).array)
      }
      let (first, again, other) = (try ask("1"), try ask("1"), try ask("2"))
      #expect(first.isIdentical(to: again) && !first.isIdentical(to: other))
      // Both modes, with about their places.
      let right = first[first[Axis.all, 0] .> 0]
      #expect(right.batch > 100 && right.batch < 200, "\(right.batch)")
      #expect((right.mean(0) - Tensor([1, -0.5])).abs().max().item < 0.45, "\(right.mean(0).doubles)")
    }
  }

  @Test("parameters that no sampler with noise has are named")
  func noisyRefusals() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(Array(#"{"weights":[1],"means":[[0]],"stds":[1]}"#.utf8), at: "one.json")
      for (solver, message) in [
        ("ddim:eta=-1", "--solver: eta -1.0 is below 0; write ddim:eta=1"),
        ("edm-heun:churn=-2", "--solver: churn -2.0 is below 0; write edm-heun:churn=40"),
        (
          "predictor-corrector:count=1e300",
          "--solver: count 1e+300 is no count up to 10000; write predictor-corrector:count=1"
        ),
        ("annealed-langevin:size=0", "--solver: size 0.0 is not positive; write annealed-langevin:size=0.1"),
      ] {
        let answer = try tool.run([
          "sample", "--model", "one.json", "--schedule", "vp", "--solver", solver, "--count", "2", "--out", "s.npy",
        ])
        #expect(answer.status == 64 && answer.messages == "scorefield: \(message)\n", "\(answer.messages)")
      }
    }
  }

  @Test("more fresh noise than a step has room for is refused with the largest share, and that is taken")
  func tooMuchNoise() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(Array(#"{"weights":[1],"means":[[0]],"stds":[1]}"#.utf8), at: "one.json")
      try tool.put(Array(#"{"_class_name":"DDIMScheduler","clip_sample":false}"#.utf8), at: "ddim.json")
      let call = ["sample", "--model", "one.json", "--count", "2", "--steps", "20", "--out", "s.npy"]
      for (options, message, most) in [
        (
          ["--schedule", "vp", "--solver", "ddim:eta=3"],
          "--solver: eta 3.0 is more noise than a step of this grid has room for; write ddim:eta=1.273 at most, or take fewer "
            + "steps", ["--schedule", "vp", "--solver", "ddim:eta=1.273"]
        ),
        (
          ["--scheduler", "ddim.json", "--eta", "3"],
          "--eta: 3.0 is more noise than a step has room for; give a number from 0 to 1.001",
          ["--scheduler", "ddim.json", "--eta", "1.001"]
        ),
      ] {
        let refused = try tool.run(call + options)
        #expect(refused.status == 64 && refused.messages == "scorefield: \(message)\n", "\(refused.messages)")
        #expect(try !tool.names().contains("s.npy"))
        #expect(try tool.run(call + most).status == 0)
        #expect(Tensor(try NPYFile(tool.path("s.npy")).array).isFinite().all())
        _ = try FileManager.default.removeItem(atPath: tool.path("s.npy"))
      }
    }
  }

  @Test("samples that are no numbers are written, are the outcome, and are warned of")
  func noNumbers() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(Array(#"{"weights":[1],"means":[[0]],"stds":[1]}"#.utf8), at: "one.json")
      let call = [
        "sample", "--model", "one.json", "--schedule", "vp", "--solver", "annealed-langevin:size=1e9,count=40",
        "--steps",
        "20", "--count", "2", "--out", "s.npy",
      ]
      let words = try tool.run(call)
      #expect(words.status == 0 && words.output == "2 samples in s.npy, 841 evaluations\n", "\(words.output)")
      #expect(
        words.messages
          == "scorefield: warning: the samples in s.npy hold NaN or infinity; take more steps, or another solver\n")
      let answer = try tool.run(call + ["--json"])
      let report: Report = try answer.json()
      #expect(report.outcome == "notFinite" && answer.messages == words.messages)
    }
  }

  @Test(
    "a solver without noise goes from the data up to the noise and back to where it came from",
    arguments: [
      ("ddim", 0.05), ("euler", 0.1), ("dopri5:rtol=1e-9,atol=1e-9", 1e-7), ("dpm-solver++-3m", 1e-3), ("rk4", 1e-5),
      ("dpm-solver-23:rtol=1e-6,atol=1e-6", 1e-4), ("bdia", 1e-3), ("belm", 0.05), ("unipc-3", 1e-3), ("pndm", 1e-3),
    ])
  func encoding(solver: String, error: Double) throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(
        Array(#"{"weights":[0.5,0.5],"means":[[-1,0.5],[1,-0.5]],"stds":[0.4,0.5]}"#.utf8), at: "two.json")
      try tool.put([1.2, -0.1, -0.6, 0.3, 0.2, 0.1], shape: [3, 2], at: "x.npy")
      func run(_ start: String, _ end: String, _ from: String, _ to: String) throws -> Tensor {
        let answer = try tool.run([
          "sample", "--model", "two.json", "--schedule", "vp", "--solver", solver, "--start", start, "--from", from,
          "--to", to, "--steps", "400", "--out", end, "--no-final-denoise",
        ])
        #expect(answer.status == 0, "\(answer.messages)")
        return Tensor(try NPYFile(tool.path(end)).array)
      }
      let latent = try run("x.npy", "z.npy", "0.001", "1")
      let exact = try tool.run([
        "likelihood", "--model", "two.json", "--schedule", "vp", "--samples", "x.npy", "--from", "0.001", "--out",
        "l.safetensors", "--solver", "dopri5:rtol=1e-9,atol=1e-9",
      ])
      #expect(exact.status == 0, "\(exact.messages)")
      let truth = Tensor(try tool.arrays(in: "l.safetensors").array(named: "latent"))
      #expect((latent - truth).abs().max().item < error)
      #expect(
        (try run("z.npy", "y.npy", "1", "0.001") - Tensor(rows: [[1.2, -0.1], [-0.6, 0.3], [0.2, 0.1]])).abs().max()
          .item < error)
    }
  }

  @Test(
    "the way up to the noise is refused to what draws noise, and without states to start from",
    arguments: [
      (
        ["--solver", "ddpm", "--start", "x.npy"],
        "--solver: 'ddpm' draws noise, and has no way from the data up to the noise; use one without noise such as ddim, or "
          + "run from the noise down to the data"
      ),
      (
        ["--solver", "edm-heun:churn=4", "--start", "x.npy"],
        "--solver: 'edm-heun' draws noise, and has no way from the data up to the noise; use one without noise such as ddim, "
          + "or run from the noise down to the data"
      ),
      (
        ["--count", "3"],
        "--start: is missing, and the way up to the noise starts from data; give the states at --from"
      ),
    ])
  func encodingRefusals(options: [String], message: String) throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(Array(#"{"weights":[1],"means":[[0]],"stds":[1]}"#.utf8), at: "one.json")
      try tool.put([1.2, -0.1], shape: [2, 1], at: "x.npy")
      let answer = try tool.run(
        ["sample", "--model", "one.json", "--schedule", "vp", "--from", "0.001", "--to", "1", "--out", "s.npy"]
          + options)
      #expect(answer.status == 64 && answer.messages == "scorefield: \(message)\n", "\(answer.messages)")
    }
  }

  @Test("estimates are kept in a range, and guidance goes beyond a class, as the library does")
  func wrapped() throws {
    try Tool.inTemporaryFolder { tool in
      let data: [Double] = [1, 0, -1, 0.5, 0, -1, 0.5, 0.5]
      try tool.put(data, shape: [4, 2], at: "points.npy")
      try tool.put(levels([0, 1, 1, 0], shape: [4]), at: "labels.npy")
      try tool.put([0.3, -0.2, 1.1, 0.4], shape: [2, 2], at: "x.npy")
      func run(_ more: String...) throws -> (samples: Tensor, report: Report) {
        let answer = try tool.run(
          [
            "sample", "--model", "points.npy", "--schedule", "vp", "--start", "x.npy", "--steps", "15", "--out",
            "s.npy",
            "--json",
          ] + more)
        #expect(answer.status == 0, "\(answer.messages)")
        return (Tensor(try NPYFile(tool.path("s.npy")).array), try answer.json())
      }
      let schedule: any NoiseSchedule = .variancePreserving
      let all = EmpiricalDenoiser(data: Tensor(data, shape: [4, 2]), on: schedule)
      let one = EmpiricalDenoiser(data: Tensor(rows: [[-1, 0.5], [0, -1]]), on: schedule)
      let start = Tensor(rows: [[0.3, -0.2], [1.1, 0.4]])
      func truth(_ model: any Denoiser) -> Tensor {
        let grid = TimeGrid.uniformHalfLogSNR(15, over: schedule, from: 1, to: 1e-3)
        return sample(model, from: start, along: grid, with: .ddim).samples
      }
      expectClose(
        try run("--threshold", "fixed:magnitude=0.6").samples,
        truth(ThresholdedDenoiser(all, .fixed, magnitude: 0.6)), within: 1e-12)
      expectClose(
        try run("--threshold", "dynamic:quantile=0.3,magnitude=0.6").samples,
        truth(ThresholdedDenoiser(all, .dynamic(quantile: 0.3), magnitude: 0.6)), within: 1e-12)
      let guided = try run("--labels", "labels.npy", "--class", "1", "--guidance", "1.7")
      expectClose(guided.samples, truth(ClassifierFreeGuidance(one, over: all, scale: 1.7)), within: 1e-12)
      #expect(guided.report.nfe == 16 && guided.report.network_evaluations == 32)
    }
  }

  @Test("certified samples are those of the data set, with a bound of every estimate")
  func certified() throws {
    struct Certified: Decodable {
      struct Certificate: Decodable {
        let estimates, estimates_within: Int
        let largest_bound: Double
        let ways: [String: Int]
      }
      let certificate: Certificate
    }
    try Tool.inTemporaryFolder { tool in
      let data = SplitMix(seed: 61).symmetric([300, 20])
      try tool.put(data.hostArray, at: "points.npy")
      let call = [
        "sample", "--model", "points.npy", "--schedule", "edm", "--count", "5", "--steps", "12", "--grid", "karras",
        "--out", "s.npy", "--certified", "1e-6",
      ]
      let answer = try tool.run(call + ["--json"])
      #expect(answer.status == 0, "\(answer.messages)")
      let report = (try answer.json() as Certified).certificate
      #expect(report.estimates == 5 * 13 && report.estimates_within == 65 && report.ways.values.reduce(0, +) == 65)
      #expect(report.largest_bound > 0 && report.largest_bound <= 1.01e-6)
      let samples = Tensor(try NPYFile(tool.path("s.npy")).array)
      #expect(try tool.run(call.dropLast(2) + ["--json"]).status == 0)
      expectClose(samples, Tensor(try NPYFile(tool.path("s.npy")).array), within: 1e-5)
      let said = try tool.run(call)
      #expect(said.output.contains("65 of 65 estimates within the error ("), "\(said.output)")
    }
  }

  /// Options beside those of a good call are wrong usage, in these words.
  private func expectRefusal(of options: [String], _ message: String) throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(Array(#"{"weights":[1],"means":[[0]],"stds":[1]}"#.utf8), at: "one.json")
      let answer = try tool.run(
        ["sample", "--model", "one.json", "--schedule", "vp", "--count", "2", "--out", "s.npy"] + options)
      #expect(answer.status == 64 && answer.messages == "scorefield: \(message)\n", "\(answer.messages)")
    }
  }

  @Test(
    "thresholds and guidance that cannot be are said",
    arguments: [
      (["--threshold", "soft"], "--threshold: 'soft' is no threshold; use fixed or dynamic:quantile=0.995"),
      (
        ["--threshold", "dynamic:quantile=2"],
        "--threshold: quantile 2.0 is outside 0…1; write dynamic:quantile=0.995"
      ),
      (
        ["--threshold", "fixed:magnitude=0"],
        "--threshold: magnitude 0.0 is not positive; write fixed:magnitude=1"
      ),
      (["--certified", "0"], "--certified: 0.0 is no error; give a number such as 1e-5"),
      (
        ["--certified", "1e-5"],
        "--certified: is for a data set in memory, and one.json is none; leave it out"
      ),
      (
        ["--guidance", "2"],
        "--guidance: has nothing to go by without --class or --condition; give one of them"
      ),
    ])
  func wrappedRefusals(options: [String], message: String) throws {
    try expectRefusal(of: options, message)
  }

  @Test(
    "every class of scheduler takes a single step where diffusers does", arguments: SchedulerConfiguration.classNames)
  func singleStep(_ name: String) throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(
        Array(#"{"weights":[0.5,0.5],"means":[[-1,0.5],[1,-0.5]],"stds":[0.4,0.5]}"#.utf8), at: "two.json")
      try tool.put(Array("{\"_class_name\":\"\(name)\"}".utf8), at: "scheduler.json")
      let answer = try tool.run([
        "sample", "--model", "two.json", "--scheduler", "scheduler.json", "--steps", "1", "--count", "3", "--out",
        "s.npy",
        "--json",
      ])
      guard name != "PNDMScheduler" else {
        #expect(answer.status == 65 && answer.messages.contains("does not go 1 steps"), "\(answer.messages)")
        return
      }
      #expect(answer.status == 0, "\(answer.messages)")
      let report: Report = try answer.json()
      #expect(report.outcome == "converged" && report.nfe == 1)
    }
  }

  @Test("a diffusers scheduler samples as the library's does, and a key that means nothing is named")
  func scheduler() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(
        Array(#"{"weights":[0.5,0.5],"means":[[-1,0.5],[1,-0.5]],"stds":[0.4,0.5]}"#.utf8), at: "two.json")
      for (name, text) in [
        ("DPMSolverMultistepScheduler", #""beta_schedule":"scaled_linear","beta_start":0.00085,"beta_end":0.012"#),
        ("EulerAncestralDiscreteScheduler", #""timestep_spacing":"leading""#),
        ("FlowMatchEulerDiscreteScheduler", #""shift":3.0"#), ("EDMEulerScheduler", #""sigma_max":20.0"#),
      ] {
        try tool.put(Array("{\"_class_name\":\"\(name)\",\(text),\"colour\":1}".utf8), at: "scheduler.json")
        let answer = try tool.run([
          "sample", "--model", "two.json", "--scheduler", "scheduler.json", "--steps", "12", "--count", "5", "--seed",
          "3",
          "--out", "s.npy", "--trajectory", "t.safetensors", "--json",
        ])
        #expect(answer.status == 0, "\(answer.messages)")
        #expect(answer.messages.contains("warning: scheduler.json: 'colour' means nothing to \(name)"))
        let configuration = try SchedulerConfiguration(contentsOf: tool.path("scheduler.json"))
        let sampler = try configuration.sampler(steps: 12)
        let field = GaussianMixtureDenoiser(
          try GaussianMixture(means: Tensor(rows: [[-1, 0.5], [1, -0.5]]), standardDeviations: Tensor([0.4, 0.5])),
          on: configuration.schedule)
        var generator = Generator(seed: 3)
        let start = Tensor.normal([5, 2], using: &generator)
        let truth = sampler.sample(field, from: start, noise: .seed(3 + 0x5C0F), keepingPath: true)
        expectClose(Tensor(try NPYFile(tool.path("s.npy")).array), truth.samples, within: 1e-12)
        let path = try tool.arrays(in: "t.safetensors")
        expectClose(Tensor(try path.array(named: "states")), truth.path!.states, within: 1e-12)
        let report: SchedulerReport = try answer.json()
        #expect(report.solver == name && report.grid == "scheduler" && report.nfe == truth.evaluations)
        #expect(report.outcome == "converged")
      }
    }
  }

  @Test(
    "what belongs to a scheduler's file is refused without one",
    arguments: [
      (["--eta", "1"], "--eta: belongs to the file of a --scheduler; write --solver ddim:eta=1"),
      (["--mu", "1"], "--mu: belongs to the file of a --scheduler; leave it out"),
      (["--grid", "scheduler"], "--grid: 'scheduler' is the grid of a --scheduler; say which file"),
    ])
  func schedulerMissing(options: [String], message: String) throws {
    try expectRefusal(of: options, message)
  }

  @Test(
    "a DDIM file takes eta and a shifted one mu; its grid alone takes another solver, and DDIM makes the same samples")
  func schedulerOptions() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(
        Array(#"{"weights":[0.5,0.5],"means":[[-1,0.5],[1,-0.5]],"stds":[0.4,0.5]}"#.utf8), at: "two.json")
      try tool.put(Array(#"{"_class_name":"DDIMScheduler","clip_sample":false}"#.utf8), at: "ddim.json")
      try tool.put(
        Array(#"{"_class_name":"FlowMatchEulerDiscreteScheduler","use_dynamic_shifting":true}"#.utf8), at: "flow.json")
      try tool.put(
        Array(#"{"_class_name":"EulerDiscreteScheduler","timestep_spacing":"trailing"}"#.utf8), at: "euler.json")
      func sample(_ file: String, _ more: String...) throws -> (samples: Tensor, report: SchedulerReport) {
        let answer = try tool.run(
          [
            "sample", "--model", "two.json", "--scheduler", file, "--steps", "12", "--count", "5", "--seed", "3",
            "--out",
            "s.npy", "--json",
          ] + more)
        #expect(answer.status == 0, "\(answer.messages)")
        return (Tensor(try NPYFile(tool.path("s.npy")).array), try answer.json())
      }
      func truth(_ file: String, eta: Double = 0, mu: Double? = nil) throws -> Tensor {
        let configuration = try SchedulerConfiguration(contentsOf: tool.path(file))
        let field = GaussianMixtureDenoiser(
          try GaussianMixture(means: Tensor(rows: [[-1, 0.5], [1, -0.5]]), standardDeviations: Tensor([0.4, 0.5])),
          on: configuration.schedule)
        var generator = Generator(seed: 3)
        let start = Tensor.normal([5, 2], using: &generator)
        return try configuration.sampler(steps: 12, eta: eta, mu: mu)
          .sample(field, from: start, noise: .seed(3 + 0x5C0F)).samples
      }
      expectClose(try sample("ddim.json", "--eta", "0.7").samples, try truth("ddim.json", eta: 0.7), within: 1e-12)
      #expect((try truth("ddim.json", eta: 0.7) - truth("ddim.json")).abs().max().item > 0.01)
      expectClose(try sample("flow.json", "--mu", "1.15").samples, try truth("flow.json", mu: 1.15), within: 1e-12)
      #expect((try truth("flow.json", mu: 1.15) - truth("flow.json", mu: 0.2)).abs().max().item > 1e-3)
      // DDIM for x/α is Euler's step there, up to the single precision of the file's own table of levels.
      let (along, report) = try sample("euler.json", "--grid", "scheduler", "--solver", "ddim")
      expectClose(along, try truth("euler.json"), within: 1e-3)
      #expect(report.solver == "ddim" && report.grid == "scheduler" && report.nfe == 12)
      let whole = try sample("euler.json", "--grid", "scheduler")
      expectClose(whole.samples, try truth("euler.json"), within: 1e-12)
      #expect(whole.report.solver == "EulerDiscreteScheduler")
      let second = try sample("euler.json", "--grid", "scheduler", "--solver", "dpm-solver-2", "--no-final-denoise")
      #expect(second.report.nfe == 22)
      let flow = try sample("flow.json", "--mu", "1.15", "--grid", "scheduler", "--solver", "ddim")
      expectClose(flow.samples, try truth("flow.json", mu: 1.15), within: 1e-3)
    }
  }

  private struct SchedulerReport: Decodable {
    let solver, grid, outcome: String
    let nfe: Int
  }

  @Test(
    "what has no place beside a scheduler is said",
    arguments: [
      (["--solver", "ddim"], 64, "--solver: has no place beside --scheduler; leave one of them out"),
      (["--schedule", "vp"], 64, "--schedule: has no place beside --scheduler; leave one of them out"),
      (["--grid", "uniform-time"], 64, "--grid: has no place beside --scheduler; leave one of them out"),
      (
        ["--grid", "scheduler", "--solver", "ddim", "--eta", "1"], 64,
        "--eta: is for the file's own solver, which --solver replaces; leave it out, or write --solver ddim:eta=1.0"
      ),
      (
        ["--grid", "scheduler", "--solver", "ddim", "--steps", "1"], 64,
        "--steps: 1 leaves a single time to step from; use more steps"
      ),
      (
        ["--mu", "1"], 65,
        "good.json: has no levels that mu 1.0 could shift; use one from 0.1 to 10 where 'use_dynamic_shifting' is true, and "
          + "none elsewhere"
      ),
      (["--eta=-1"], 64, "--eta: -1.0 is no share of noise; give a number from 0 to 1.0"),
      (["--scheduler", "none.json"], 66, "none.json: "),
      (
        ["--scheduler", "bad.json"], 65,
        "bad.json: '_class_name' = 'DDIMShceduler' is no scheduler that is known here; "
      ),
      (["--steps", "2000"], 65, "good.json: DDIMScheduler does not go 2000 steps with these settings; use 1 to 1000"),
    ] as [([String], Int32, String)])
  func schedulerRefusals(options: [String], status: Int32, message: String) throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(Array(#"{"weights":[1],"means":[[0]],"stds":[1]}"#.utf8), at: "one.json")
      try tool.put(Array(#"{"_class_name":"DDIMShceduler"}"#.utf8), at: "bad.json")
      try tool.put(Array(#"{"_class_name":"DDIMScheduler"}"#.utf8), at: "good.json")
      let scheduler = options.contains("--scheduler") ? [] : ["--scheduler", "good.json"]
      let answer = try tool.run(
        ["sample", "--model", "one.json", "--count", "2", "--out", "s.npy"] + scheduler + options)
      #expect(answer.status == status && answer.output == "", "\(answer.messages)")
      #expect(answer.messages.hasPrefix("scorefield: \(message)"), "\(answer.messages)")
      #expect(try !tool.names().contains("s.npy"))
    }
  }
}
