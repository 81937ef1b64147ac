import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct FisherCommandTests {
  struct Report: Decodable {
    let trace: [Double]
    let log_density: [Double]?
    let alpha, sigma, seconds: Double
    let samples, dimension, network_evaluations, peak_memory_bytes: Int
  }

  let points: [Double] = [0.5, 0, 0, -0.5, 0, 0]
  let x: [Double] = [0.1, 0.2, -0.3, 0.4]
  let v: [Double] = [1, 0, 0.5, -2]

  @Test("the arrays and the JSON hold what the library answers")
  func answers() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(points, shape: [3, 2], at: "points.npy")
      try tool.put(x, shape: [2, 2], at: "x.npy")
      try tool.put(v, shape: [2, 2], at: "v.npy")
      let answer = try tool.run([
        "fisher", "--model", "points.npy", "--schedule", "vp:beta-max=10", "--time", "0.3", "--at", "x.npy",
        "--direction",
        "v.npy", "--out", "f.safetensors", "--json",
      ])
      #expect(answer.status == 0 && answer.messages == "")

      let field = EmpiricalDenoiser(data: Tensor(points, shape: [3, 2]), on: VariancePreserving(betaMax: 10))
      let direction = Tensor(v, shape: [2, 2])
      let truth = field.posterior(Tensor(x, shape: [2, 2]), at: 0.3, along: direction)
      let file = try tool.arrays(in: "f.safetensors")
      #expect(Set(file.names) == ["score", "posterior_mean", "trace", "log_density", "matvec"])
      func same(_ name: String, _ expected: Tensor) throws {
        #expect(Tensor(try file.array(named: name)).isIdentical(to: expected), "\(name)")
      }
      try same("score", truth.score)
      try same("posterior_mean", truth.mean)
      try same("trace", truth.fisherTrace)
      try same("log_density", truth.logDensity)
      try same("matvec", truth.fisherProduct(with: direction))

      let report: Report = try answer.json()
      #expect(report.trace == truth.fisherTrace.doubles && report.log_density == truth.logDensity.doubles)
      #expect(report.alpha == truth.kernel.alpha && report.sigma == truth.kernel.sigma)
      #expect(report.samples == 2 && report.dimension == 2 && report.network_evaluations == 1)
      #expect(report.seconds > 0 && report.peak_memory_bytes > 1 << 20)
    }
  }

  @Test(
    "weights count for every method that stands on the data",
    arguments: ["retrieval:3", "gaussian", "blended:3", "recommended"])
  func weighted(_ method: String) throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(points, shape: [3, 2], at: "points.npy")
      try tool.put(x, shape: [2, 2], at: "x.npy")
      try tool.put([5, 0, 0.01], shape: [3], at: "w.npy")
      let answer = try tool.run([
        "fisher", "--model", "points.npy", "--weights", "w.npy", "--schedule", "edm", "--time", "0.3", "--at", "x.npy",
        "--method", method, "--json",
      ])
      #expect(answer.status == 0 && answer.messages == "", "\(answer.messages)")
      let (kept, weights) = (Tensor(points, shape: [3, 2])[Tensor([1, 0, 1]) .> 0], Tensor([5, 0.01]))
      let at = Tensor(x, shape: [2, 2])
      let expected: Tensor
      switch method {
      case "gaussian":
        expected = GaussianFisher(data: kept, weights: weights, on: .edm).fisher(at: at, time: 0.3).trace()
      case "recommended":
        let access = RecommendedFisher(data: kept, weights: weights, of: .points, on: .edm)
        expected = FullTrace(access).fisher(at: at, time: 0.3).trace()
        // Where one point has nearly all the weight there is little spread.
        #expect(access.spread < 0.05 && access.choice(at: 0.3) == .gaussian)
      default:
        expected = EmpiricalDenoiser(data: kept, weights: weights, on: .edm).posterior(at, at: 0.3).fisherTrace
      }
      let report: Report = try answer.json()
      expectClose(Tensor(report.trace), expected, within: 1e-10)
    }
  }

  @Test("the recommended products are the library's, and the report says which they are", arguments: [0.01, 0.1, 3])
  func recommended(time: Double) throws {
    struct Named: Decodable { let method: String }
    try Tool.inTemporaryFolder { tool in
      let data = SplitMix(seed: 31).symmetric([40, 2])
      try tool.put(data.hostArray, at: "points.npy")
      try tool.put(x, shape: [2, 2], at: "x.npy")
      try tool.put(v, shape: [2, 2], at: "v.npy")
      let answer = try tool.run([
        "fisher", "--model", "points.npy", "--schedule", "edm", "--time", "\(time)", "--at", "x.npy", "--direction",
        "v.npy", "--method", "recommended", "--out", "f.safetensors", "--json",
      ])
      #expect(answer.status == 0, "\(answer.messages)")
      let truth = RecommendedFisher(data: data, of: .points, on: .edm)
      let named: Named = try answer.json()
      #expect(named.method == "recommended:\(truth.choice(at: time))")
      let file = try tool.arrays(in: "f.safetensors")
      let fisher = truth.fisher(at: Tensor(x, shape: [2, 2]), time: time)
      ScorefieldTestSupport.expectClose(
        Tensor(try file.array(named: "matvec")), fisher.matvec(Tensor(v, shape: [2, 2])), within: 1e-12)
    }
  }

  @Test("without --out and --json a table of at most twenty points is printed")
  func table() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put([0], shape: [1, 1], at: "points.npy")
      try tool.put((0..<30).map(Double.init), shape: [30, 1], at: "x.npy")
      let answer = try tool.run([
        "fisher", "--model", "points.npy", "--schedule", "edm", "--time", "2", "--at", "x.npy",
      ])
      let lines = answer.output.split(separator: "\n")
      #expect(lines.count == 22 && answer.status == 0)
      // log N(0; 0, 4) and 1/4.
      #expect(lines[1] == "0          -1.6121    0.250000")
      #expect(lines[21] == "… and 10 more; --out writes them all")
    }
  }

  @Test("grey levels are scaled to [−1, 1], in the model and in the points, and keep their shape")
  func scaling() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(levels([0, 16, 8, 16, 16, 4, 0, 0], shape: [2, 2, 2]), at: "points.npy")
      try tool.put(levels([8, 8, 8, 12], shape: [1, 2, 2]), at: "x.npy")
      let answer = try tool.run([
        "fisher", "--model", "points.npy", "--levels", "17", "--schedule", "flow", "--time", "0.5", "--at", "x.npy",
        "--out",
        "f.safetensors", "--threads", "1",
      ])
      #expect(answer.status == 0)
      let field = EmpiricalDenoiser(
        data: Tensor([-1, 1, 0, 1, 1, -0.5, -1, -1], shape: [2, 2, 2]), on: .flowMatching)
      let truth = field.posterior(Tensor([0, 0, 0, 0.5], shape: [1, 2, 2]), at: 0.5)
      let file = try tool.arrays(in: "f.safetensors")
      #expect(Tensor(try file.array(named: "score")).isIdentical(to: truth.score))
      #expect(try file.shape(of: "posterior_mean") == [1, 2, 2])
    }
  }

  @Test("tables, folders of PNGs, Fortran order and float32 are read too")
  func formats() throws {
    try Tool.inTemporaryFolder { tool in
      try tool.put(Array("x,y\n0.5,0\n0,-0.5\n0,0\n".utf8), at: "points.csv")
      try tool.put(x, shape: [2, 2], at: "x.npy")
      let answer = try tool.run([
        "fisher", "--model", "points.csv", "--schedule", "ve", "--time", "0.25", "--at", "x.npy", "--dtype", "float32",
        "--out", "f.safetensors",
      ])
      #expect(answer.status == 0)
      let file = try tool.arrays(in: "f.safetensors")
      #expect(try file.elementType(of: "score") == .float32)
      let field = EmpiricalDenoiser(data: Tensor(points, shape: [3, 2]), on: .varianceExploding)
      expectClose(
        Tensor(try file.array(named: "score")), field.posterior(Tensor(x, shape: [2, 2]), at: 0.25).score, within: 1e-6)
    }
  }

  @Test("help answers on stdout with status 0")
  func help() throws {
    try Tool.inTemporaryFolder { tool in
      for arguments in [["--help"], ["fisher", "--help"], ["--version"]] {
        // No engine is needed for it.
        let answer = try tool.run(arguments, environment: ["SCOREFIELD_ENGINE": "/nowhere"])
        #expect(answer.status == 0 && !answer.output.isEmpty && answer.messages.isEmpty)
      }
    }
  }
}
