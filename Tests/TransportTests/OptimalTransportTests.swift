import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct OptimalTransportTests {
  @Test("five points go to five places by the known permutation (Spec: C7.2a.1)") func fivePoints() {
    let plan = optimalAssignment(squaredCost(Worlds.points, Worlds.places))
    #expect(abs(plan.value - 1.6718187197912335) < 1e-15)
    #expect(plan.columns.integers == [1, 0, 2, 4, 3] && plan.rows.integers == [0, 1, 2, 3, 4])
    expectClose(plan.masses, .full([5], 0.2), within: 0)
    #expect(abs(wassersteinDistance(Worlds.points, Worlds.places) - 1.6718187197912335.squareRoot()) < 1e-15)
  }

  @Test("an assignment costs what the best of all permutations costs (Spec: C7.2a.2)") func bruteForce() {
    for instance in 0..<50 {
      let size = 1 + instance % 7
      let drawn = SplitMix(seed: 100 + instance).symmetric([size, size])
      // Every other one is full of ties.
      let cost = instance % 2 == 0 ? drawn : (2 * drawn).rounded()
      let elements = cost.doubles
      var least = Double.infinity
      forEachPermutation(of: size) { columns in
        least = min(least, (0..<size).reduce(0) { $0 + elements[$1 * size + columns[$1]] })
      }
      let plan = optimalAssignment(cost)
      #expect(abs(plan.value - least / Double(size)) < 1e-12, "\(cost)")
      #expect(Set(plan.columns.integers).count == size)
      expectCertified(plan, cost)
      // Given as weights, the equal masses are solved by the simplex method.
      let weights = Tensor.full([size], 2)
      let other = optimalTransport(cost, from: weights, to: weights)
      #expect(abs(other.value - least / Double(size)) < 1e-12, "\(cost)")
      expectCertified(other, cost, weights, weights)
    }
  }

  static let shapes = [(1, 1), (1, 7), (6, 1), (12, 12), (20, 35), (50, 30)]

  @Test("plans have their marginals, and potentials prove them best (Spec: C7.2a.3)", arguments: shapes)
  func duality(_ n: Int, _ m: Int) {
    let (x, y) = Worlds.clouds(n, m, 3, seed: 10 * n + m)
    let (a, b) = (SplitMix(seed: n).uniform([n]) + 0.01, SplitMix(seed: m + 9).uniform([m]) + 0.01)
    let gaps = Tensor((0..<n).map { $0 % 3 == 1 ? 0.0 : 1 })
    for cost in [squaredCost(x, y), (3 * SplitMix(seed: n + m).symmetric([n, m])).rounded()] {
      expectCertified(optimalTransport(cost), cost)
      expectCertified(optimalTransport(cost, from: a, to: b), cost, a, b)
      expectCertified(optimalTransport(cost, from: a * gaps, to: b), cost, a * gaps, b)
      expectCertified(optimalTransport(cost, from: a), cost, a)
      expectCertified(optimalTransport(cost, to: b * 1e300), cost, nil, b)
    }
  }

  @Test("large assignments are proved best too (Spec: C7.2a.3)", arguments: [1, 2, 16]) func large(_ d: Int) {
    let (x, y) = Worlds.clouds(150, 150, d, seed: d)
    let cost = squaredCost(x, y)
    expectCertified(optimalAssignment(cost), cost)
    let weights = Tensor.ones([150])
    #expect(abs(optimalTransport(cost, from: weights).value - optimalAssignment(cost).value) < 1e-12)
  }

  @Test("a cost on which every pivot is degenerate comes to an end (Spec: C7.2a.3)") func degenerate() {
    for (n, m) in [(24, 36), (40, 40), (7, 49)] {
      let indices = Tensor.arange(0..<(n * m)).to(.float64).reshaped(n, m)
      let cost = (3 * (0.7 * indices).sin()).rounded()
      let weights = Tensor.ones([n])
      expectCertified(optimalTransport(cost, from: weights), cost, weights)
      expectCertified(optimalTransport(cost), cost)
    }
  }

  @Test("after every pivot empty arcs point to the root, so no tree comes twice (Spec: C7.2a.3)", arguments: 0..<20)
  func stronglyFeasible(_ seed: Int) {
    let (n, m) = (4 + seed % 3, 4 + seed % 4)
    let cost = (2 * SplitMix(seed: 900 + seed).symmetric([n, m])).rounded().doubles
    var simplex = NetworkSimplex(
      cost: cost, supplies: Array(repeating: m, count: n), demands: Array(repeating: n, count: m))
    var pivots = 0
    #expect(simplex.emptyArcsPointToRoot)
    while !simplex.solve(maximumPivots: 1), pivots < 1000 {
      pivots += 1
      #expect(simplex.emptyArcsPointToRoot)
    }
    #expect(pivots < 1000)
  }

  @Test("weights down to the smallest find their place (Spec: C7.2a.3)") func tiny() {
    for last in [1e-9, 1e-17, 2e-18] {
      let (a, b) = (Tensor([0.3, 0.3, 0.3] + [last]), Tensor(Array(repeating: 0.7, count: 10) + [last, last]))
      for cost in [SplitMix(seed: 50).symmetric([4, 12]), Tensor.ones([4, 12])] {
        expectCertified(optimalTransport(cost, from: a, to: b), cost, a, b)
        expectCertified(optimalTransport(cost.transposed, from: b, to: a), cost.transposed, b, a)
      }
    }
  }

  @Test("the plan does not change with what is added to rows and columns, nor with its units (Spec: C7.2a.3)")
  func invariance() {
    let (x, y) = Worlds.clouds(30, 20, 2, seed: 77)
    let cost = squaredCost(x, y)
    let (a, b) = (SplitMix(seed: 1).uniform([30]), SplitMix(seed: 2).uniform([20]))
    let plan = optimalTransport(cost, from: a, to: b)
    let moved = optimalTransport(
      1e6 * (cost + SplitMix(seed: 3).symmetric([30, 1]) + SplitMix(seed: 4).symmetric([1, 20])), from: 5 * a, to: b)
    #expect(difference(moved.matrix, plan.matrix) < 1e-15)
    let swapped = optimalTransport(cost.transposed, from: b, to: a)
    #expect(difference(swapped.matrix, plan.matrix.transposed) < 1e-15)
  }

  @Test("on a line points keep their order, whatever the power (Spec: C7.2a.4)", arguments: [1.0, 1.5, 2, 3])
  func line(_ power: Double) {
    let (x, y) = Worlds.clouds(40, 40, 1, seed: 5)
    let sorted = (x.reshaped(-1).sorted().values - y.reshaped(-1).sorted().values).abs().pow(power).mean().item
    let plan = optimalTransportOnLine(x.reshaped(-1), y.reshaped(-1), power: power)
    let cost = (x - y.transposed).abs().pow(power)
    #expect(abs(plan.value - sorted) < 1e-14 * sorted)
    #expect(abs(plan.value - optimalAssignment(cost).value) < 1e-14)
    expectCertified(plan, cost)

    let (few, many) = (Tensor([0.3, -1, 2, 0.3, 5]), Tensor([1, 1, -2, 0.5, 0.3, 7, -1]))
    let (a, b) = (Tensor([1, 0, 2, 0.5, 0]), Tensor([0, 1, 1, 0.5, 0, 1, 0]))
    let weighted = optimalTransportOnLine(few, many, power: power, from: a, to: b)
    let costs = (few.expanded(at: 1) - many).abs().pow(power)
    expectCertified(weighted, costs, a, b)
    #expect(abs(weighted.value - optimalTransport(costs, from: a, to: b).value) < 1e-14)
    #expect(abs(weighted.value - weighted.matrix.reshaped(-1).dot(costs.reshaped(-1)).item) < 1e-14)
  }

  @Test("distances of clouds on a line and in space are roots of mean squares (Spec: C7.2a.4)") func distances() {
    let (x, y) = Worlds.clouds(20, 31, 1, seed: 8)
    let aside = Tensor.zeros([20, 1]), far = Tensor.zeros([31, 1])
    let plane = wassersteinDistance(.concatenated([x, aside], 1), .concatenated([y, far], 1))
    #expect(abs(wassersteinDistance(x, y) - plane) < 1e-14)
    #expect(abs(wassersteinDistance(x, x + 2) - 2) < 1e-14)
    let weights = SplitMix(seed: 4).uniform([20])
    #expect(abs(wassersteinDistance(x, x + 2, from: weights, to: weights) - 2) < 1e-14)
  }

  @Test("the best plan jumps where that with entropy hardly moves (Spec: C7.2a.5, C7.2d.7)") func instability() {
    let y = Tensor(rows: [[1, 0], [0, 1]])
    func plans(_ shift: Double) -> (exact: TransportPlan, entropic: EntropicPlan) {
      let cost = squaredCost(Tensor(rows: [[0, shift], [1, 1]]), y)
      return (optimalTransport(cost), Sinkhorn(epsilon: 0.1, tolerance: 1e-13).plan(cost))
    }
    let (above, below) = (plans(1e-9), plans(-1e-9))
    #expect(abs(above.exact.value - 1) < 1e-8 && abs(below.exact.value - 1) < 1e-8)
    #expect((above.exact.matrix - below.exact.matrix).abs().sum().item == 2)
    let moved = (above.entropic.matrix - below.entropic.matrix).abs().sum().item
    #expect(moved > 1e-10 && moved < 1e-7)
  }

  @Test("two samples of a uniform law approach each other as one over their size (Spec: C7.2a.6)") func rate() {
    let errors = [32, 64, 128, 256].map { size in
      let mean = (0..<120).reduce(0.0) { sum, repetition in
        let (x, y) = (SplitMix(seed: 2 * repetition + 7000), SplitMix(seed: 2 * repetition + 7001))
        return sum + optimalTransportOnLine(x.uniform([size]), y.uniform([size])).value / 120
      }
      return (steps: size, error: mean)
    }
    #expect(abs(observedOrder(errors) - 1) < 0.1)
    // E W₂² = 1/(3 (n + 1)): twice the mean variance of the order statistics of a uniform law.
    #expect(abs(errors[1].error * 3 * 65 - 1) < 0.15)
  }

  @Test("mass moves straight from its sources to its targets (Spec: C7.2c)") func displacement() {
    let (x, y) = Worlds.clouds(6, 9, 2, seed: 3)
    let plan = optimalTransport(squaredCost(x, y))
    func second(_ points: Tensor) -> Double { points.squared().sum(-1).dot(plan.masses).item }
    #expect(abs(second(plan.displaced(x, y, at: 0)) - x.squared().sum(-1).mean().item) < 1e-14)
    #expect(abs(second(plan.displaced(x, y, at: 1)) - y.squared().sum(-1).mean().item) < 1e-14)
    let way = plan.displaced(x, y, at: 0.75) - plan.displaced(x, y, at: 0.5)
    #expect(abs(16 * second(way) - plan.value) < 1e-13)
  }

  @Test("a plan that ran out of pivots says so, and by how much it is off (Spec: C7.2a.3)") func limit() {
    let (x, y) = Worlds.clouds(30, 20, 2, seed: 6)
    let cost = squaredCost(x, y)
    let (best, cut) = (optimalTransport(cost), optimalTransport(cost, maximumPivots: 5))
    #expect(best.outcome == .converged && cut.outcome == .stepLimit)
    #expect(cut.value > best.value && cut.dualityGap >= cut.value - best.value)
    #expect(optimalTransport(cost, maximumPivots: 10_000).outcome == .converged)
  }

  @Test("a matrix that is not square is sent to the general method") func notSquare() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = optimalAssignment(.zeros([2, 3]))
    }
    expectWords("optimalAssignment([2, 3]): needs a square matrix; optimalTransport takes others", result)
  }

  @Test("weights of another number than the points stop with both") func wrongWeights() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = optimalTransport(.zeros([2, 3]), from: .ones([3]))
    }
    expectWords("optimalTransport(from: [3], to: equal): needs weights [2] and [3], neither empty", result)
  }

  @Test("a negative weight stops") func negativeWeight() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = optimalTransport(.zeros([2, 3]), from: Tensor([1.0, -1]))
    }
    expectWords("optimalTransport(weights: [2]): weights must be finite, none negative and not all zero", result)
  }

  @Test("a cost that is no number stops") func notANumber() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = optimalAssignment(.full([1, 1], .nan))
    }
    expectWords("optimalAssignment([1, 1]): the cost holds a NaN or an infinity", result)
  }

  @Test("a power that is not convex stops") func concave() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = optimalTransportOnLine(.zeros([2]), .zeros([3]), power: 0.5)
    }
    expectWords("optimalTransportOnLine([2], [3], power: 0.5): needs [n], [m] and a power from 1 on", result)
  }

  private func forEachPermutation(of size: Int, _ body: ([Int]) -> Void) {
    var columns = Array(0..<size)
    func place(_ row: Int) {
      if row == size { return body(columns) }
      for other in row..<size {
        columns.swapAt(row, other)
        place(row + 1)
        columns.swapAt(row, other)
      }
    }
    place(0)
  }
}

/// A plan with its marginals, potentials that hold everywhere, and no gap.
func expectCertified(
  _ plan: TransportPlan, _ cost: Tensor, _ a: Tensor? = nil, _ b: Tensor? = nil,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let (n, m) = (cost.shape[0], cost.shape[1])
  func shares(_ weights: Tensor?, _ count: Int) -> Tensor {
    guard let weights else { return .full([count], 1 / Double(count)) }
    let scaled = weights / weights.max()
    return scaled / scaled.sum()
  }
  let matrix = plan.matrix
  let size = cost.abs().max().item
  #expect(plan.outcome == .converged, sourceLocation: sourceLocation)
  #expect(difference(matrix.sum(1), shares(a, n)) < 1e-15, sourceLocation: sourceLocation)
  #expect(difference(matrix.sum(0), shares(b, m)) < 1e-15, sourceLocation: sourceLocation)
  #expect(plan.masses.count < n + m && (plan.masses .> 0).all(), sourceLocation: sourceLocation)
  #expect(abs((matrix * cost).sum().item - plan.value) <= 1e-13 * size, sourceLocation: sourceLocation)

  let slack = cost - plan.sourcePotential.expanded(at: 1) - plan.targetPotential
  #expect((slack .>= -1e-10 * size).all(), sourceLocation: sourceLocation)
  let dual = plan.sourcePotential.dot(shares(a, n)).item + plan.targetPotential.dot(shares(b, m)).item
  #expect(abs(plan.value - dual) <= 1e-12 * size, sourceLocation: sourceLocation)
  #expect(abs(plan.value - dual - plan.dualityGap) <= 1e-12 * size, sourceLocation: sourceLocation)
}
