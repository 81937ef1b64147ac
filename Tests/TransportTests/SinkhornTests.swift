import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct SinkhornTests {
  private let cost = squaredCost(Worlds.points, Worlds.places)

  @Test("two points and two places have their closed form (Spec: C7.2d.1)", arguments: [5, 0.5, 0.05, 0.001])
  func twoByTwo(_ epsilon: Double) {
    let plan = Sinkhorn(epsilon: epsilon, tolerance: 1e-14).plan(Tensor(rows: [[0, 1], [1, 0]]))
    let share = 0.5 / (1 + exp(-1 / epsilon))
    expectClose(plan.matrix, Tensor(rows: [[share, 0.5 - share], [0.5 - share, share]]), within: 1e-12)
    let value = -epsilon * log((1 + exp(-1 / epsilon)) / 2)
    #expect(abs(plan.value - value) < 1e-12 && abs(plan.dualValue - value) < 1e-12)
    #expect(abs(plan.transportCost - 2 * (0.5 - share)) < 1e-12 && plan.outcome == .converged)
    if epsilon == 0.5 { #expect(abs(plan.value - 0.28310958475848635) < 1e-14) }
  }

  static let table = [
    (5.0, 2.4827389428300743, 2.5511889153927436), (1, 2.0717793818813766, 2.3142680575283667),
    (0.2, 1.7222688294551878, 1.9107111970373490),
  ]

  @Test("five points cost what the table says (Spec: C7.2d.2, C7.2d.3)", arguments: table)
  func fivePoints(_ epsilon: Double, _ transportCost: Double, _ value: Double) {
    for scaling in [nil, 0.5] as [Double?] {
      let plan = Sinkhorn(epsilon: epsilon, tolerance: 1e-13, scaling: scaling).plan(cost)
      let matrix = plan.matrix
      #expect(plan.outcome == .converged && plan.marginalError <= 1e-13)
      #expect(abs(plan.transportCost - transportCost) < 1e-12 && abs(plan.value - value) < 1e-12)
      #expect(abs(plan.dualValue - value) < 1e-12)
      #expect(difference(matrix.sum(0), .full([5], 0.2)) < 1e-15 && difference(matrix.sum(1), .full([5], 0.2)) < 1e-13)
      #expect((matrix .> 0).all())
      let entropy = (matrix * (25 * matrix).log()).sum().item
      #expect(abs(plan.transportCost + epsilon * entropy - value) < 1e-12)
    }
  }

  @Test("the first row of the plan is the table's (Spec: C7.2d.2)") func firstRow() {
    let row = Sinkhorn(epsilon: 1, tolerance: 1e-13).plan(cost).matrix[0]
    let expected = [0.0118999024, 0.0703658163, 0.0807749988, 0.0261980919, 0.0107611906]
    #expect(difference(row, Tensor(expected)) < 1e-10)
  }

  @Test("scalings and their logarithms give one plan (Spec: C7.2d.4)", arguments: [2, 0.5]) func kernel(
    _ epsilon: Double
  ) {
    let (x, y) = Worlds.clouds(12, 17, 2, seed: 30)
    let cost = squaredCost(x, y)
    let (a, b) = (SplitMix(seed: 5).uniform([12]) + 0.1, SplitMix(seed: 6).uniform([17]) + 0.1)
    let (sources, targets) = (a / a.sum(), b / b.sum())
    let kernel = (-cost / epsilon).exp()
    var (u, v) = (Tensor.ones([12]), Tensor.ones([17]))
    for _ in 0..<5000 {
      u = 1 / kernel.matmul(targets * v)
      v = 1 / kernel.transposed.matmul(sources * u)
    }
    let expected = (u * sources).expanded(at: 1) * kernel * (v * targets)
    let plan = Sinkhorn(epsilon: epsilon, tolerance: 1e-14).plan(cost, from: a, to: b)
    expectClose(plan.matrix, expected, within: 1e-10)
    #expect(abs(plan.transportCost - (expected * cost).sum().item) < 1e-11)
  }

  @Test("points in tiles are the matrix at once (Spec: C7.2d.4)") func streaming() {
    let (x, y) = Worlds.clouds(1300, 900, 3, seed: 40)
    let cost = squaredCost(x, y)
    let weights = SplitMix(seed: 41).uniform([1300]) * Tensor((0..<1300).map { $0 % 7 == 0 ? 0.0 : 1 })
    let logs = (weights / weights.sum()).log()
    let method = Sinkhorn(epsilon: 0.7, tolerance: 0, maximumIterations: 3)
    // 2¹⁹ elements a tile: three of them.
    let (tiled, whole) = (method.plan(carrying: x, to: y, from: weights), method.plan(cost, from: weights))
    var (f, g) = (Tensor.zeros([1300]), Tensor.zeros([900]))
    for _ in 0..<3 {
      f = -0.7 * ((g - cost) / 0.7 - log(900)).logSumExp(1)
      g = -0.7 * ((f - cost.transposed) / 0.7 + logs).logSumExp(1)
    }
    for plan in [tiled, whole] {
      expectClose(plan.sourcePotential, f, within: 1e-12)
      expectClose(plan.targetPotential, g, within: 1e-12)
      #expect(plan.iterations == 3 && plan.outcome == .stepLimit)
    }
    #expect(abs(tiled.value / whole.value - 1) < 1e-12 && abs(tiled.transportCost / whole.transportCost - 1) < 1e-12)
    let matrix = ((f.expanded(at: 1) + g - cost) / 0.7 + logs.expanded(at: 1)).exp() / 900
    expectClose(tiled.matrix, matrix, within: 1e-11)
    let kept = Tensor(Array(1..<7))
    expectClose(
      tiled.barycentres(of: y)[kept], (matrix.matmul(y) / matrix.sum(1, keeping: true))[kept], within: 1e-11)
    #expect(tiled.barycentres(of: y).isFinite().all())
  }

  @Test("what is added to rows and columns changes nothing, and sides may be swapped (Spec: C7.2d.5)") func invariance()
  {
    let method = Sinkhorn(epsilon: 0.3, tolerance: 1e-14)
    let b = Tensor([1.0, 2, 3, 4, 5])
    let plan = method.plan(cost, to: b)
    let moved = method.plan(cost + Tensor([3.0, 1, -4, 1, 5]).expanded(at: 1) + Tensor([9.0, -2, 6, 5, 3]), to: 7 * b)
    expectClose(moved.matrix, plan.matrix, within: 1e-12)
    expectClose(method.plan(cost.transposed, from: b).matrix, plan.matrix.transposed, within: 1e-12)
  }

  @Test("with much entropy the plan is the product, up to a term in 1/ε (Spec: C7.2d.6)") func largeEpsilon() {
    func distance(_ epsilon: Double) -> Double {
      difference(Sinkhorn(epsilon: epsilon, tolerance: 1e-14).plan(cost).matrix, .full([5, 5], 0.04))
    }
    #expect(abs(distance(50) - 1.2136e-3) < 1e-7 && abs(distance(500) - 1.2201e-4) < 1e-8)
  }

  @Test("every start leads to the one plan (Spec: C7.2d.6)") func starts() {
    let method = Sinkhorn(epsilon: 0.2, tolerance: 1e-13)
    let (one, other) = (3 * SplitMix(seed: 1).symmetric([5]), 3 * SplitMix(seed: 2).symmetric([5]))
    let plan = method.plan(cost, startingAt: one)
    expectClose(plan.matrix, method.plan(cost, startingAt: other).matrix, within: 1e-11)
    #expect(method.plan(cost, startingAt: plan.targetPotential).iterations < plan.iterations)
  }

  @Test("the error falls by one factor per iteration, a smaller one for a larger ε (Spec: C7.2d.8)") func rate() {
    let factors = [(0.2, 80), (0.4, 40), (0.8, 12)].map { epsilon, first in
      let errors = (4...6).map { part in
        log(Sinkhorn(epsilon: epsilon, tolerance: 0, maximumIterations: first * part / 4).plan(cost).marginalError)
      }
      let every = Double(first) / 4
      let (early, late) = ((errors[1] - errors[0]) / every, (errors[2] - errors[1]) / every)
      #expect(late < 0 && abs(late / early - 1) < 0.05, "ε = \(epsilon): \(errors)")
      return late
    }
    #expect(factors[0] > factors[1] && factors[1] > factors[2])
  }

  @Test("with little entropy the value is the best plan's, within ε log n (Spec: C7.2d, C7.3b.1)") func smallEpsilon() {
    let best = optimalAssignment(cost).value
    for epsilon in [1, 0.2, 0.05, 0.01] {
      let plan = Sinkhorn(epsilon: epsilon, tolerance: 1e-12, maximumIterations: 1500, scaling: 0.5).plan(cost)
      // At small ε the plan takes very many iterations; the dual value, which is never too large, does not.
      #expect(plan.dualValue > best && plan.dualValue < best + epsilon * log(5))
      #expect(plan.outcome == (epsilon > 0.1 ? .converged : .stepLimit))
      if epsilon == 0.01 { #expect(abs(plan.dualValue - 1.68791) < 2e-5) }
    }
  }

  @Test("coming from large ε saves iterations at a small one (Spec: C7.2d)") func scaling() {
    let (x, y) = Worlds.clouds(60, 60, 2, seed: 3)
    let plain = Sinkhorn(epsilon: 0.01, tolerance: 1e-3, maximumIterations: 5000).plan(carrying: x, to: y)
    let scaled = Sinkhorn(epsilon: 0.01, tolerance: 1e-3, maximumIterations: 5000, scaling: 0.5).plan(
      carrying: x, to: y)
    #expect(plain.outcome == .converged && scaled.outcome == .converged)
    #expect(scaled.iterations < plain.iterations)
    #expect(abs(plain.value - scaled.value) < 1e-3)
  }

  @Test("an iteration that was cut short says so, and one of NaNs too (Spec: C7.2d)") func outcomes() {
    for scaling in [nil, 0.5] as [Double?] {
      let cut = Sinkhorn(epsilon: 0.01, tolerance: 1e-9, maximumIterations: 4, scaling: scaling).plan(cost)
      #expect(cut.outcome == .stepLimit && cut.iterations == 4 && cut.marginalError > 1e-9)
      #expect(difference(cut.matrix.sum(0), .full([5], 0.2)) < 1e-14)
      let matrix = cut.matrix
      let entropy = (matrix * (25 * matrix).clamped(1e-300).log()).sum().item
      #expect(abs(cut.value - (matrix * cost).sum().item - 0.01 * entropy) < 1e-12)
      let sums = (cut.matrix.sum(1) - 0.2).abs().sum().item
      #expect(abs(sums - cut.marginalError) < 1e-12)
      #expect(cut.dualValue < optimalAssignment(cost).value + 0.01 * log(5))
    }
    #expect(Sinkhorn(epsilon: 1).plan(.full([2, 2], .nan)).outcome == .notFinite)
  }

  @Test("an ε of zero stops") func zeroEpsilon() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = Sinkhorn(epsilon: 0)
    }
    expectWords("needs ε > 0, an iteration and a scaling between 0 and 1", result)
  }
}
