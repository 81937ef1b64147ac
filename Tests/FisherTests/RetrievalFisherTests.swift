import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// The exact Fisher over the nearest points, and what the others can change.
@Suite struct RetrievalFisherTests {
  /// What rounding alone may do to `V`, which is between 0 and about the spread over k².
  static let rounding = 1e-10

  @Test("Spec: F8 over all points it is the exact Fisher", arguments: NamedSchedule.all)
  func all(_ named: NamedSchedule) {
    let data = SplitMix(seed: 11).symmetric([60, 4]) + 0.3
    let field = EmpiricalDenoiser(data: data, on: named.schedule)
    let range = named.schedule.timeRange
    let (low, high) = (
      named.schedule.kernel(at: range.lowerBound).noiseToSignal,
      named.schedule.kernel(at: range.upperBound).noiseToSignal
    )
    for count in [60, 500] {
      let access = RetrievalFisher(data, nearest: count, on: named.schedule)
      #expect(access.count == 60)
      for ratio in [0.05, 0.2, 1, 5, 40] where ratio > low && ratio < high {
        let t = named.schedule.time(atNoiseToSignal: ratio)
        let kernel = named.schedule.kernel(at: t)
        let x = kernel.alpha * data[..<7] + kernel.sigma * SplitMix(seed: 12).unit([7, 4])
        let (fisher, exact) = (access.fisher(at: x, time: t), ExactFisher(field).fisher(at: x, time: t))
        let v = SplitMix(seed: 13).unit([7, 4])
        let scale = kernel.sigma * kernel.sigma
        #expect((scale * (fisher.trace() - exact.trace())).abs().max().item < 1e-9, "k = \(ratio)")
        #expect((scale * (fisher.matvec(v) - exact.matvec(v))).abs().max().item < 1e-9, "k = \(ratio)")
        #expect(fisher.traceBound.max().item == 0 && fisher.weightLeftOut.max().item == 0)
        expectClose(fisher.residual, exactTarget(field, x, at: t).residual!, within: 1e-8)
      }
    }
  }

  @Test("Spec: F8 points that weigh more count more, and the bound knows what those left out weigh")
  func weighted() {
    let data = SplitMix(seed: 21).symmetric([80, 3])
    let weights = (8 * SplitMix(seed: 22).symmetric([80])).exp()
    let field = EmpiricalDenoiser(data: data, weights: weights, on: .edm)
    let v = SplitMix(seed: 24).unit([20, 3])
    for t in [0.05, 0.2, 0.6, 3] {
      let x = data[..<20] + t * SplitMix(seed: 23).unit([20, 3])
      let exact = ExactFisher(field).fisher(at: x, time: t)
      let all = RetrievalFisher(data, weights: 5 * weights, nearest: 80, on: .edm).fisher(at: x, time: t)
      expectClose(all.trace(), exact.trace(), within: 1e-9)
      expectClose(all.matvec(v), exact.matvec(v), within: 1e-9)
      #expect(all.traceBound.max().item == 0)
      for count in [1, 10, 40] {
        let some = RetrievalFisher(data, weights: weights, nearest: count, on: .edm).fisher(at: x, time: t)
        #expect(
          ((some.trace() - exact.trace()).abs() .<= some.traceBound + 1e-9 / (t * t)).all(), "\(t) \(count)")
        if t == 0.6, count == 40 { #expect(some.traceBound.max().item > 1e-3) }
      }
    }
  }

  @Test("Spec: F8 what is left out never changes the trace by more than the bound, in 2,000 random queries")
  func bound() {
    var generator = Generator(seed: 5)
    let schedules: [any NoiseSchedule] = [.variancePreserving, .edm, .flowMatching]
    var (queries, decided, looseness) = (0, 0, [Double]())
    while queries < 2000 {
      let schedule = schedules[queries / 20 % 3]
      let draws = Tensor.uniform([4], using: &generator).doubles
      let (dimension, size) = (1 + Int(draws[0] * 6), 20 + Int(draws[1] * 400))
      let data = Tensor.normal([size, dimension], using: &generator) * (0.3 + draws[2])
      let count = 1 + Int(draws[3] * draws[3] * Double(size - 1))
      let ratio = exp(log(0.01) + Tensor.uniform([1], using: &generator).item * log(500))
      let t = schedule.time(atNoiseToSignal: ratio)
      let kernel = schedule.kernel(at: t)
      // About the data, and far from them.
      let chosen = Tensor.randomIntegers([20], in: 0..<size, using: &generator)
      let noise = Tensor.normal([20, dimension], using: &generator)
      let far = 1 + 3 * Tensor.uniform([20, 1], using: &generator).squared()
      let x = kernel.alpha * data.selecting(chosen) + kernel.sigma * far * noise
      let field = EmpiricalDenoiser(data: data, on: schedule)
      let exact = exactTarget(field, x, at: t).residual!
      let fisher = RetrievalFisher(data, nearest: count, on: schedule).fisher(at: x, time: t)
      let error = (fisher.residual - exact).abs()
      let allowed = fisher.residualBound + Self.rounding * (1 + exact)
      #expect((error .<= allowed).all(), "k = \(ratio), \(count) of \(size) points")
      expectClose(
        fisher.traceBound, fisher.residualBound / (kernel.sigma * kernel.sigma), within: 1e-14)
      let trace = ExactFisher(field).fisher(at: x, time: t).trace()
      let slack = (Self.rounding / (kernel.sigma * kernel.sigma)) * (1 + exact)
      #expect(((fisher.trace() - trace).abs() .<= fisher.traceBound + slack).all())
      // Where it decides: of a use, and above rounding.
      for (bound, error) in zip(fisher.residualBound.doubles, error.doubles)
      where bound <= 1e-3 * Double(dimension) && bound > 1e-7 {
        decided += 1
        looseness.append(bound / max(error, 1e-10))
      }
      queries += 20
    }
    let middle = looseness.sorted()[looseness.count / 2]
    #expect(decided > 30)
    #expect(middle < 300, "\(middle) of \(decided)")
  }

  @Test("Spec: F8 the bound is the one that is derived", arguments: [0.3, 0.9, 4])
  func formula(_ t: Double) {
    let fisher = RetrievalFisher(Tensor(rows: [[0], [1], [-3], [2.5], [7]]), nearest: 2, on: .edm)
      .fisher(at: Tensor(rows: [[0.4]]), time: t)
    // At 0 and 1; the last kept is 0.6 away, three are left.
    func weight(_ distance: Double) -> Double { exp(-0.5 * (distance * distance - 0.16) / (t * t)) }
    let mass = 1 + weight(0.6)
    let share = weight(0.6) / mass
    let (mean, spread) = (share - 0.4, share * (1 - share))
    let left = 3 * weight(0.6) / mass
    let farther = max(0.6, 2.0.squareRoot() * t)
    let bound =
      left * (spread + 2 * mean * mean) + 2 * 3 * farther * farther * weight(farther) / mass
    #expect(abs(fisher.weightLeftOut.item / left - 1) < 1e-12)
    #expect(abs(fisher.residual.item * t * t / spread - 1) < 1e-12)
    #expect(abs(fisher.residualBound.item * t * t / bound - 1) < 1e-12)
  }

  @Test("Spec: F8 below the spacing of the data a few points are proven to be enough")
  func few() {
    let data = SplitMix(seed: 11).symmetric([2000, 2])
    let schedule = EDMSchedule()
    let x = data[..<50] + 0.005 * SplitMix(seed: 12).unit([50, 2])
    let fisher = RetrievalFisher(data, nearest: 16, on: schedule).fisher(at: x, time: 0.005)
    #expect(fisher.residualBound.max().item < 1e-6)
    let exact = ExactFisher(EmpiricalDenoiser(data: data, on: schedule)).fisher(at: x, time: 0.005).trace()
    expectClose(fisher.trace(), exact, within: 1e-9)
    // And where the noise is wide they are not.
    let wide = RetrievalFisher(data, nearest: 16, on: schedule).fisher(at: x, time: 1)
    #expect(wide.residualBound.min().item > 1)
  }

  @Test("many points are looked at in tiles, and give the same answers as one at a time")
  func tiles() {
    let data = SplitMix(seed: 11).symmetric([9000, 3])
    let access = RetrievalFisher(data, nearest: 5, on: .edm)
    let x = data[2000..<2600] + 0.05 * SplitMix(seed: 12).unit([600, 3])
    let v = SplitMix(seed: 13).unit([600, 3])
    let together = access.fisher(at: x, time: 0.05)
    for row in stride(from: 0, to: 600, by: 37) {
      let one = row..<(row + 1)
      let alone = access.fisher(at: x[one], time: 0.05)
      expectClose(together.trace()[one], alone.trace(), within: 1e-10)
      expectClose(together.matvec(v)[one], alone.matvec(v[one]), within: 1e-10)
      expectClose(together.traceBound[one], alone.traceBound, within: 1e-9)
    }
  }

  @Test("points may have any shape, and answers have the type of the queries")
  func shapes() {
    let data = SplitMix(seed: 1).symmetric([30, 2, 3])
    let x = (data[..<4] + 0.1).to(.float32)
    let fisher = RetrievalFisher(data, nearest: 30, on: .edm).fisher(at: x, time: 0.3)
    let exact = ExactFisher(EmpiricalDenoiser(data: data, on: .edm)).fisher(at: x.to(.float64), time: 0.3)
    let v = SplitMix(seed: 2).unit([4, 2, 3])
    #expect(fisher.trace().elementType == .float32 && fisher.matvec(v.to(.float32)).elementType == .float32)
    expectClose(fisher.trace(), exact.trace(), within: 1e-6)
    expectClose(fisher.matvec(v.to(.float32)), exact.matvec(v), within: 1e-6)
  }

  @Test("Spec: F8 a hybrid says which of the two answered, and is within its bound where the points did")
  func hybrid() {
    let data = SplitMix(seed: 11).symmetric([500, 2])
    let schedule = EDMSchedule()
    let field = EmpiricalDenoiser(data: data, on: schedule)
    let (null, retrieval) = (NullFisher(on: schedule), RetrievalFisher(data, nearest: 20, on: schedule))
    let hybrid = HybridFisher(null, or: retrieval, tolerance: 1e-3)
    // Some where a few points are enough and some where they are not.
    let x =
      data[..<200] + Tensor((0..<200).map { Double($0) / 100 }).expanded(at: 1) * SplitMix(seed: 12).unit([200, 2])
    for t in [0.02, 0.08] {
      let (found, points) = (hybrid.fisher(at: x, time: t), retrieval.fisher(at: x, time: t))
      let exact = ExactFisher(field).fisher(at: x, time: t).trace()
      let flags = found.isExact.flags
      #expect(flags == points.residualBound.doubles.map { $0 <= 2e-3 })
      for (row, isExact) in flags.enumerated() {
        let trace = found.trace()[row].item
        if isExact {
          #expect(trace == points.trace()[row].item)
          let bound = found.traceBound[row].item
          #expect(bound == points.traceBound[row].item)
          #expect(abs(trace - exact[row].item) <= bound + 1e-9 * 2 / (t * t))
        } else {
          #expect(abs(trace - 2 / (t * t)) < 1e-9 && found.traceBound[row].item.isNaN)
        }
      }
      #expect(abs(found.exactShare - Double(flags.count { $0 }) / 200) < 1e-15)
    }
    let mixed = hybrid.fisher(at: x, time: 0.08).exactShare
    #expect(mixed > 0.05 && mixed < 0.95, "\(mixed)")
  }

  @Test("numbers that make no sense stop the process")
  func mistake() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = RetrievalFisher(.zeros([3, 2]), nearest: 0, on: .edm)
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(words.contains("RetrievalFisher([3, 2], nearest: 0): needs points, and at least one of them"))
  }
}
