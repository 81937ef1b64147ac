import Scorefield
import ScorefieldTestSupport
import Testing

/// The exact field against the oracle of `Tests/Golden/make_exact_field.py`, in extended precision.
@Suite struct ExactFieldGoldenTests {
  struct Group: Decodable {
    let name: String
    let points, dimension, queries, seed_points: Int
    let points_xor: String
  }

  struct Case: Decodable, Sendable, CustomStringConvertible {
    let group: String
    let index: Int
    let schedule: String
    let k, t, alpha, sigma: Double
    let weighting: String
    let seed_weights, seed_eps, seed_v: Int
    let far: Bool
    let x_xor: String
    var description: String { "\(schedule) σ/α = \(k), weights \(weighting)\(far ? ", far" : "")" }
  }

  static let groups = ["1x1", "2x2", "17x3", "300x2", "5000x2", "1x64", "300x64", "5000x64", "1000x3072", "5000x3072"]

  @Test("Spec: F1 density, score, mean, trace and product agree with the oracle to 1e-9", arguments: groups)
  func oracle(_ name: String) throws {
    let golden = try Golden("exact_field")
    let group = try #require(golden.metadata("groups", as: [Group].self).first { $0.name == name })
    let points = SplitMix(seed: group.seed_points).symmetric([group.points, group.dimension])
    #expect(xor(points) == group.points_xor)

    for test in try golden.metadata("cases", as: [Case].self) where test.group == name {
      let schedule = NamedSchedule.named(test.schedule)
      let kernel = schedule.kernel(at: test.t)
      #expect(abs(kernel.alpha / test.alpha - 1) < 1e-14 && abs(kernel.sigma / test.sigma - 1) < 1e-14, "\(test)")

      let shape = [group.queries, group.dimension]
      let x = try queries(test, points, shape, stored: group.dimension <= 64 ? golden["\(name).x"][test.index] : nil)
      #expect(xor(x) == test.x_xor, "\(test)")
      let v = SplitMix(seed: test.seed_v).symmetric(shape)
      let denoiser = EmpiricalDenoiser(data: points, weights: weights(test, group.points), on: schedule)
      let found = denoiser.posterior(x, at: test.t, along: v)

      func check(_ what: String, _ actual: Tensor) throws {
        expectClose(actual, try golden["\(name).\(what)"][test.index], within: 1e-9, "\(what): \(test)")
      }
      try check("log_density", found.logDensity)
      try check("score", found.score)
      try check("posterior_mean", found.mean)
      try check("trace", found.fisherTrace)
      try check("matvec", found.fisherProduct(with: v))
    }
  }

  private func queries(_ test: Case, _ points: Tensor, _ shape: [Int], stored: Tensor?) throws -> Tensor {
    if let stored { return stored }
    let chosen = Tensor((0..<shape[0]).map { 7919 * $0 % points.batch })
    let near = test.alpha * points.selecting(chosen) + test.sigma * SplitMix(seed: test.seed_eps).unit(shape)
    guard test.far else { return near }
    let far = test.alpha * (3 * SplitMix(seed: test.seed_eps + 1).symmetric([1, shape[1]]))
    return .concatenated([near[..<(shape[0] - 1)], far])
  }

  private func weights(_ test: Case, _ count: Int) -> Tensor? {
    guard test.weighting != "none" else { return nil }
    var values = SplitMix(seed: test.seed_weights).uniform(count).map { $0 + 0.1 }
    if test.weighting == "zeros" { for index in stride(from: 2, to: count, by: 3) { values[index] = 0 } }
    return Tensor(values)
  }

  /// The exclusive or of the elements' bits.
  private func xor(_ tensor: Tensor) -> String {
    let bits = tensor.doubles.reduce(UInt64(0)) { $0 ^ $1.bitPattern }
    let digits = String(bits, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
