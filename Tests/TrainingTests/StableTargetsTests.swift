import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct StableTargetsTests {
  private let reference = SplitMix(seed: 1).unit([12, 3])
  private let classes = [0, 1, 2, 0, 1, 2, 0, 0, 1, 2, 1, 0]

  private func sample(of rows: [Int]) -> PathSample {
    PathSample(
      data: reference.selecting(Tensor(rows)), noise: SplitMix(seed: 2).unit([rows.count, 3]),
      kernels: KernelBatch(.edm, at: rows.indices.map { 0.2 + 0.3 * Double($0) }))
  }

  @Test("under a class the posterior is over the points of that class alone")
  func classPosterior() {
    let all = StableTargets(over: reference, conditions: Tensor(classes).oneHot(3))
    for label in 0..<3 {
      let rows = classes.indices.filter { classes[$0] == label }
      let sample = sample(of: rows)
      let found = all.target(for: sample, condition: Tensor(rows.map { classes[$0] }).oneHot(3))
      let expected = StableTargets(over: reference.selecting(Tensor(rows))).target(for: sample)
      expectClose(found.data, expected.data, within: 1e-12)
      expectClose(found.residual!, expected.residual!, within: 1e-11)
    }
  }

  @Test("a hidden class is none: all points are behind the sample")
  func hiddenClass() {
    let all = StableTargets(over: reference, conditions: Tensor(classes).oneHot(3))
    let sample = sample(of: [0, 4, 7])
    let expected = StableTargets(over: reference).target(for: sample)
    let found = all.target(for: sample, condition: .zeros([3, 3]))
    expectClose(found.data, expected.data, within: 1e-14)
    expectClose(found.spread!, expected.spread!, within: 1e-13)
  }
}
