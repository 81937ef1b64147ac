import Scorefield
import ScorefieldTestSupport
import Testing

/// The posterior mean as cheaply as the noise level allows, and what it promises.
@Suite struct CertifiedDenoiserTests {
  /// Points near a plane of twelve dimensions, with so much beside it.
  static func data(_ count: Int, _ dimension: Int, beside: Double, seed: Int) -> Tensor {
    let (z, plane) = (SplitMix(seed: seed).unit([count, 12]), SplitMix(seed: seed + 1).unit([12, dimension]))
    return z.matmul(plane) * (1 / 12.0.squareRoot()) + beside * SplitMix(seed: seed + 2).unit([count, dimension]) + 0.3
  }

  /// A data set that is asked about at all noise levels.
  struct Case: Sendable, CustomStringConvertible {
    let description: String
    let type: ElementType
    let dimension: Int
    let beside: Double
    /// How far the data lie from 0.
    var offset = 0.0
    /// Whole numbers keep their plane wherever they lie.
    var isWhole = false
    /// The ways that answers come.
    let ways: Set<CertifiedDenoiser.Way>
  }

  static let cases: [Case] = [
    Case(description: "in a plane", type: .float32, dimension: 40, beside: 0, ways: [.reduced]),
    Case(description: "near a plane", type: .float32, dimension: 40, beside: 0.01, ways: [.near, .dense]),
    Case(description: "in a plane, float64", type: .float64, dimension: 40, beside: 0, ways: [.reduced]),
    Case(
      description: "very near a plane, float64", type: .float64, dimension: 40, beside: 1e-6, ways: [.reduced, .dense]),
    Case(description: "in all directions", type: .float32, dimension: 40, beside: 0.5, ways: [.near, .dense]),
    Case(description: "of many dimensions", type: .float32, dimension: 1000, beside: 0.3, ways: [.near, .dense]),
    Case(
      description: "far from 0, in a plane", type: .float32, dimension: 40, beside: 0, offset: 20_000, isWhole: true,
      ways: [.reduced]),
    Case(description: "temperatures", type: .float32, dimension: 40, beside: 0.5, offset: 300, ways: [.near, .dense]),
    Case(description: "far from 0", type: .float32, dimension: 40, beside: 0.5, offset: 1000, ways: [.near, .dense]),
    Case(
      description: "far from 0, float64", type: .float64, dimension: 40, beside: 1e-6, offset: 1e6,
      ways: [.reduced, .dense]),
  ]

  @Test(
    "the bound of 1e-5 holds in 2,000 random queries of each of ten data sets over all noise levels", arguments: cases)
  func bound(_ example: Case) {
    let points =
      example.isWhole
      ? (3 * SplitMix(seed: 40).unit([1200, 12])).rounded().matmul(
        SplitMix(seed: 41).unit([12, example.dimension]).rounded())
      : Self.data(1200, example.dimension, beside: example.beside, seed: 40)
    let data = (points + example.offset).to(example.type)
    let truth = EmpiricalDenoiser(data: data.to(.float64), on: .edm)
    let model = CertifiedDenoiser(data: data, on: .edm, nearest: 16, rank: 24)
    var ways: Set<CertifiedDenoiser.Way> = []
    for (index, t) in [100.0, 30, 10, 3, 1, 0.5, 0.2, 0.05, 0.01, 0.002].enumerated() {
      let noise = SplitMix(seed: 1000 + index).unit([200, example.dimension])
      // Beside the data, and from half way between two of them.
      let middle = 0.5 * (data[200..<300] + data[300..<400]).to(.float64)
      let origin = Tensor.concatenated([data[0..<100].to(.float64), middle])
      let x = (origin + t * noise).to(example.type)
      let answer = model.certified(x, at: t)
      // The truth itself rounds: logits of up to 2¹⁴, and what lies far from 0.
      let slack = 1e-11 + 1e-15 * example.offset
      let error = (answer.mean.to(.float64) - truth.denoise(x.to(.float64), at: t)).norm(-1)
      #expect(
        (error .<= answer.errorBound + slack).all(), "\(t): \(((error / answer.errorBound).max().item))")
      // What storing them loses is the same for every way.
      let roundoff = example.type == .float64 ? 0x1p-53 : 0x1p-24
      let room = 1e-5 * model.scale + 1.1 * roundoff * (answer.mean.to(.float64).norm(-1) + 4 * model.scale)
      for (way, isWithin) in zip(answer.ways, (answer.errorBound .<= room).flags)
      where way != .dense {
        #expect(isWithin)
      }
      #expect(zip(answer.ways, answer.isWithin.flags).allSatisfy { $0 == .dense || $1 })
      ways.formUnion(answer.ways)
    }
    #expect(ways == example.ways)
  }

  @Test("a sampler runs on it, its samples are those of the whole sum, and the run's certificate holds every answer")
  func sampling() {
    let data = Self.data(800, 30, beside: 0.4, seed: 50)
    let certificate = CertifiedDenoiser.Certificate()
    let model = CertifiedDenoiser(data: data, on: .edm, rank: 12, certificate: certificate)
    let grid = TimeGrid.karras(18, over: .edm, from: 80, to: 0.002)
    let start = 80 * SplitMix(seed: 51).unit([16, 30])
    let run = sample(model, from: start, along: grid, with: .dpmSolverPlusPlus2M)
    let truth = sample(model.whole, from: start, along: grid, with: .dpmSolverPlusPlus2M)
    #expect((run.samples - truth.samples).norm(-1).max().item < 1e-4 * model.scale)
    #expect(certificate.answers == 16 * run.evaluations && certificate.ways.values.reduce(0, +) == certificate.answers)
    // In float64 the whole sum keeps the tolerance too.
    #expect(certificate.answersWithin == certificate.answers && certificate.largestBound <= 1.01e-5)
    #expect(certificate.ways.keys.contains(.near) && certificate.ways.keys.contains(.dense), "\(certificate.ways)")
    // In float32 it does not, and says so.
    let short = CertifiedDenoiser.Certificate()
    _ = CertifiedDenoiser(data: data.to(.float32), on: .edm, rank: 12, certificate: short).denoise(
      start.to(.float32), at: 3)
    #expect(short.answers == 16 && short.answersWithin < 16 && short.largestBound > 1e-5)
  }

  @Test("weights count, and few points with much weight are not forgotten")
  func weights() {
    let data = Self.data(600, 20, beside: 0, seed: 7)
    let weights = (6 * SplitMix(seed: 9).symmetric([600])).exp()
    let truth = EmpiricalDenoiser(data: data, weights: weights, on: .edm)
    let model = CertifiedDenoiser(data: data, weights: weights, on: .edm, nearest: 8)
    for t in [5.0, 0.5, 0.1, 0.01] {
      let x = data[0..<50] + t * SplitMix(seed: 10).unit([50, 20])
      let answer = model.certified(x, at: t)
      let error = (answer.mean - truth.denoise(x, at: t)).norm(-1)
      // The dense sum itself rounds logits of up to 2¹⁴.
      #expect((error .<= answer.errorBound + 1e-11).all(), "at \(t)")
    }
  }

  @Test("data in a plane are summed in it, and its dimension is found")
  func plane() {
    let model = CertifiedDenoiser(data: Self.data(500, 300, beside: 0, seed: 3), on: .edm)
    #expect(model.rank == 12 && model.largestResidual < 1e-12 * model.scale)
    let x = 5 * SplitMix(seed: 4).unit([6, 300])
    let answer = model.certified(x, at: 5)
    #expect(answer.ways == Array(repeating: .reduced, count: 6))
    expectClose(answer.mean, model.whole.denoise(x, at: 5), within: 1e-10)
    // Five rows of many that leave it are found.
    let many = Self.data(4000, 300, beside: 0, seed: 3)
    let rare = Tensor.concatenated([
      many[..<2000], many[2000..<2005] + SplitMix(seed: 6).unit([5, 300]), many[2005...],
    ])
    let wider = CertifiedDenoiser(data: rare, on: .edm)
    #expect(wider.rank == 17 && wider.largestResidual < 1e-12 * wider.scale)
    // Noise for data has no plane.
    let noise = CertifiedDenoiser(data: SplitMix(seed: 5).unit([500, 300]), on: .edm)
    #expect(noise.rank == 64 && noise.certified(x, at: 20).ways.allSatisfy { $0 == .dense })
    #expect(noise.denoise(x, at: 20).isIdentical(to: noise.whole.denoise(x, at: 20)))
  }

  @Test(
    "far out two moments are enough, their remainder is bounded, and it falls with the square of the distance",
    arguments: [false, true])
  func flat(weighted: Bool) {
    let data = Self.data(300, 3, beside: 0.2, seed: 12)
    let weights = weighted ? (2 * SplitMix(seed: 13).symmetric([300])).exp() : nil
    struct Far: NoiseSchedule {
      let timeRange: ClosedRange<Double> = 1e-3...1e6
      func alpha<S: Elementary>(_ t: S) -> S { 1 }
      func sigma<S: Elementary>(_ t: S) -> S { t }
    }
    let truth = EmpiricalDenoiser(data: data, weights: weights, on: Far())
    let model = CertifiedDenoiser(data: data, weights: weights, on: Far(), tolerance: 1e-3)
    var errors: [Double] = []
    for t in [1e3, 1e4, 1e5] {
      let x = data[0..<40] + t * SplitMix(seed: 14).unit([40, 3])
      let answer = model.certified(x, at: t)
      #expect(answer.ways == Array(repeating: .flat, count: 40))
      let error = (answer.mean - truth.denoise(x, at: t)).norm(-1)
      #expect((error .<= answer.errorBound + 1e-13).all(), "\(t)")
      errors.append(error.max().item)
    }
    #expect(errors[0] > 1e-8 && abs(errors[0] / errors[1] / 100 - 1) < 0.1 && errors[2] < errors[1] / 50)
    #expect(model.certified(data[0..<4] + 10, at: 10).ways.allSatisfy { $0 == .reduced })
  }

  @Test("a single point, fewer points than are asked for, images, and an empty batch")
  func small() {
    let one = CertifiedDenoiser(data: Tensor(rows: [[1, 2]]), on: .edm)
    #expect(one.denoise(Tensor(rows: [[5, 5]]), at: 1).doubles == [1, 2])
    let images = CertifiedDenoiser(data: SplitMix(seed: 1).unit([5, 2, 3, 3]), on: .edm)
    let x = SplitMix(seed: 2).unit([4, 2, 3, 3])
    expectClose(images.denoise(x, at: 0.4), images.whole.denoise(x, at: 0.4), within: 1e-5)
  }
}
