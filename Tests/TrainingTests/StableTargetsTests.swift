import Scorefield
import ScorefieldTestSupport
import Testing

/// Posteriors in place of single draws.
@Suite struct StableTargetsTests {
  static let schedules = NamedSchedule.all.filter { ["vp", "edm", "flow", "subvp", "trig"].contains($0.name) }

  @Test("Spec: F8 over the whole data set they are the posterior of the exact field", arguments: schedules)
  func exact(_ named: NamedSchedule) {
    let schedule = named.schedule
    // Far from the origin, and of any shape.
    let data = SplitMix(seed: 5).symmetric([300, 2, 2]) + Tensor(rows: [[3, -2], [0, 7]])
    let field = EmpiricalDenoiser(data: data, on: schedule)
    let targets = StableTargets(over: data)
    for ratio in [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 50] {
      let t = schedule.time(atNoiseToSignal: ratio)
      let kernel = schedule.kernel(at: t)
      let sample = PathSample(
        data: data[..<20], noise: SplitMix(seed: 6).unit([20, 2, 2]),
        kernels: KernelBatch(Array(repeating: kernel, count: 20)))
      expectClose(sample.point, kernel.alpha * data[..<20] + kernel.sigma * sample.noise, within: 1e-14)
      let (found, expected) = (targets.target(for: sample), exactTarget(field, sample.point, at: t))
      expectClose(found.data, expected.data, within: 1e-9)
      expectClose(found.noise, expected.noise, within: 1e-9)
      // V is between 0 and about d, which is 4.
      #expect((found.residual! - expected.residual!).abs().max().item < 1e-9, "k = \(ratio)")
      #expect((found.spread! - expected.spread!).abs().max().item < 1e-9 * ratio * ratio.squareRoot() + 1e-13)
      expectClose(found.residual!, found.spread! / (ratio * ratio), within: 1e-9)
    }
  }

  @Test("every sample has its own noise, and many points are streamed in tiles")
  func tiles() {
    let data = SplitMix(seed: 5).symmetric([5000, 2])
    let schedule = EDMSchedule()
    let times = SplitMix(seed: 7).uniform(700).map { 0.01 + $0 }
    let sample = PathSample(
      data: data[..<700], noise: SplitMix(seed: 6).unit([700, 2]), kernels: KernelBatch(schedule, at: times))
    let found = StableTargets(over: data).target(for: sample)
    let field = EmpiricalDenoiser(data: data, on: schedule)
    for row in stride(from: 0, to: 700, by: 41) {
      let expected = exactTarget(field, sample.point[row..<(row + 1)], at: times[row])
      expectClose(found.data[row..<(row + 1)], expected.data, within: 1e-9)
      #expect(abs(found.residual![row].item - expected.residual!.item) < 1e-9)
    }
  }

  @Test("targets have the type and the shape of the samples, and are constants")
  func types() {
    let data = SplitMix(seed: 5).symmetric([50, 3]).to(.float32)
    var generator = Generator(seed: 1)
    let sample = PathSample(data[..<8], at: Array(repeating: 0.5, count: 8), on: .flowMatching, using: &generator)
    let found = StableTargets(over: data).target(for: sample)
    #expect(found.data.elementType == .float32 && found.residual!.elementType == .float32)
    #expect(found.data.shape == [8, 3] && found.noise.shape == [8, 3] && found.spread!.shape == [8])
  }

  @Test("a single draw is a posterior of one point")
  func draw() {
    let draw = PosteriorTarget(data: .ones([2, 3]), noise: .zeros([2, 3]))
    #expect(draw.residual == nil && draw.spread == nil)
  }

  @Test("a sample with a class has the posterior over its class, one without over all, in tiles of any class")
  func classes() {
    // Sorted by class, more than a tile holds: most tiles have no point of a given class.
    let data = SplitMix(seed: 5).symmetric([6000, 2])
    let labels = Tensor((0..<6000).map { $0 / 2000 })
    let schedule = EDMSchedule()
    let count = 900
    let times = SplitMix(seed: 7).uniform(count).map { 0.05 + $0 }
    let sample = PathSample(
      data: data[..<count], noise: SplitMix(seed: 6).unit([count, 2]), kernels: KernelBatch(schedule, at: times))
    let given = Tensor((0..<count).map { $0 % 3 }).oneHot(3).to(.float64)
    let hidden = Tensor((0..<count).map { $0 % 4 == 0 ? 0.0 : 1 }).expanded(at: 1)
    let found = StableTargets(over: data, conditions: labels.oneHot(3)).target(for: sample, condition: given * hidden)
    for row in stride(from: 0, to: count, by: 53) {
      let own = row % 4 == 0 ? data : data[(2000 * (row % 3))..<(2000 * (row % 3 + 1))]
      let expected = exactTarget(
        EmpiricalDenoiser(data: own, on: schedule), sample.point[row..<(row + 1)], at: times[row])
      expectClose(found.data[row..<(row + 1)], expected.data, within: 1e-9)
      #expect(abs(found.residual![row].item - expected.residual!.item) < 1e-9)
    }
  }

  @Test("posteriors over all the data are no targets for samples with conditions")
  func conditions() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let data = Tensor.zeros([2, 1])
      let sample = PathSample(data: data, noise: data, kernels: KernelBatch(EDMSchedule(), at: [1, 1]))
      _ = StableTargets(over: data).target(for: sample, condition: .zeros([2, 3]))
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(words.contains("take single draws with conditions"), "\(words.prefix(300))")
  }
}
