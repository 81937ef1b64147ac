import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct PicardTests {
  /// A run the specification prints, of a window of 16 where nothing else is said.
  struct Printed: Sendable, CustomStringConvertible {
    let description: String
    let rounds, evaluations: Int
    let deviation: Double?
    let run: @Sendable () -> (PicardIntegration, sequential: Tensor)

    static func of<S: Solver>(
      _ name: String, _ solver: S, _ world: PlaneFlow, _ grid: TimeGrid, window: Int = 16, _ tolerance: Double,
      rounds: Int, evaluations: Int, deviation: Double? = nil
    ) -> Printed where S.Field == any Denoiser {
      Printed(description: name, rounds: rounds, evaluations: evaluations, deviation: deviation) {
        (
          PicardIteration(
            from: world.start, along: grid, with: solver, in: world.denoiser, window: window,
            settling: .squaredDistance(tolerance)
          ).integrated(), integrate(world.start, along: grid, with: solver, in: world.denoiser)
        )
      }
    }
    static func of<S: Solver>(
      _ name: String, _ solver: S, _ world: PlaneFlow, _ grid: TimeGrid, window: Int = 16, _ tolerance: Double,
      rounds: Int, evaluations: Int, deviation: Double? = nil
    ) -> Printed where S.Field == any VelocityField {
      Printed(description: name, rounds: rounds, evaluations: evaluations, deviation: deviation) {
        (
          PicardIteration(
            from: world.start, along: grid, with: solver, in: world.denoiser, window: window,
            settling: .squaredDistance(tolerance)
          ).integrated(), integrate(world.start, along: grid, with: solver, in: ProbabilityFlow(world.denoiser))
        )
      }
    }
  }

  // For DPM-Solver++(2M) the specification prints the same counts and a deviation of 1.51e−4.
  static let printed: [Printed] = [
    .of(
      "Euler, 1e−10", .euler, .flow, PlaneFlow.flow.timeGrid(64), 1e-10, rounds: 16, evaluations: 222,
      deviation: 6.08e-7),
    .of(
      "Euler, 1e−6", .euler, .flow, PlaneFlow.flow.timeGrid(64), 1e-6, rounds: 12, evaluations: 167, deviation: 5.80e-5),
    .of(
      "Euler, 1e−4", .euler, .flow, PlaneFlow.flow.timeGrid(64), 1e-4, rounds: 9, evaluations: 137, deviation: 9.43e-4),
    .of(
      "Euler, 1e−6, all at once", .euler, .flow, PlaneFlow.flow.timeGrid(64), window: 64, 1e-6, rounds: 6,
      evaluations: 288),
    .of(
      "DDIM, 1e−6", .ddim, .vp, PlaneFlow.vp.halfLogSNRGrid(64), 1e-6, rounds: 11, evaluations: 157, deviation: 6.26e-5),
    .of(
      "DPM-Solver++(2M), 1e−6", .dpmSolverPlusPlus2M, .vp, PlaneFlow.vp.halfLogSNRGrid(32), 1e-6, rounds: 7,
      evaluations: 94,
      deviation: 6.37e-5),
  ]

  @Test("Spec: C9.8b C9.8c E19 rounds, evaluations and deviations are the printed ones", arguments: printed)
  func printedRuns(_ printed: Printed) {
    let (found, sequential) = printed.run()
    #expect(
      found.rounds == printed.rounds && found.evaluations == printed.evaluations,
      "\(found.rounds), \(found.evaluations)")
    if let deviation = printed.deviation {
      #expect(abs(distance(found.state, sequential) / deviation - 1) < 0.02, "\(distance(found.state, sequential))")
    }
  }

  @Test(
    "Spec: C9.8b C9.8c without a tolerance every method ends where it does step by step, bit for bit",
    arguments: [1, 8, 16, 24])
  func sequential(_ window: Int) {
    let world = PlaneFlow.vp
    let grid = world.halfLogSNRGrid(24)
    func check<S: Solver>(_ solver: S) where S.Field == any Denoiser {
      let found = PicardIteration(
        from: world.start, along: grid, with: solver, in: world.denoiser, window: window, settling: .squaredDistance(0)
      ).integrated()
      #expect(
        found.state.isIdentical(to: integrate(world.start, along: grid, with: solver, in: world.denoiser)), "\(solver)")
      #expect(found.rounds <= 24 && (window > 1 || found.rounds == 24))
    }
    check(.ddim)
    check(.deis(3))
    check(.dpmSolver3)
    check(.dpmSolverPlusPlus2M)
    check(.uniPC(3))
    check(.pndm)
    check(.edmHeun)
    // It asks twice at one time.
    check(.edict)
    let heun = PicardIteration(
      from: world.start, along: grid, with: .heun, in: world.denoiser, window: window, settling: .squaredDistance(0)
    ).integrated()
    #expect(
      heun.state.isIdentical(to: integrate(world.start, along: grid, with: .heun, in: ProbabilityFlow(world.denoiser))))
  }

  @Test("Spec: C9.8a after k rounds the first k states are final, and all errors shrink ever faster")
  func wholeGrid() {
    let world = PlaneFlow.flow
    let grid = world.timeGrid(64)
    let sequential = Trajectory(from: world.start, along: grid, with: .euler, in: ProbabilityFlow(world.denoiser)).map(
      \.state)
    var deviations: [Double] = []
    var iterates = [Array(repeating: world.start, count: 65)]
    // Every round of an iteration that never settles is one of the whole grid, but for the states that are final.
    for round in PicardIteration(
      from: world.start, along: grid, with: .euler, in: world.denoiser, window: 64, settling: .squaredDistance(0))
    {
      let known = round.first + round.settled
      for k in round.first...known { #expect(distance(round.states[k - round.first], sequential[k]) < 1e-13) }
      iterates.append(Array(sequential[..<round.first]) + round.states)
      deviations.append(zip(iterates[iterates.count - 1], sequential).map(distance).max()!)
      #expect(known >= deviations.count)
    }
    for (k, printed) in [(2, 8e-2), (5, 4e-4), (8, 4e-7), (12, 7e-12)] {
      let ratio = deviations[k - 1] / printed
      #expect(ratio > 0.3 && ratio < 3, "after \(k): \(deviations[k - 1])")
    }
    // Faster than any geometric series, once the first rounds are over.
    let ratios = Array(zip(deviations.dropFirst(5), deviations.dropFirst(4)).map { $0 / $1 }.prefix(8))
    #expect(zip(ratios, ratios.dropFirst()).allSatisfy { $1 < $0 }, "\(ratios)")
  }

  /// `dx/dt = a x`, as a denoiser on edm: `x̂₀ = (1 − a t) x`.
  struct Growth: Denoiser {
    let rate: Double
    let schedule: any NoiseSchedule = EDMSchedule()
    func denoise(_ x: Tensor, at t: Double) -> Tensor { (1 - rate * t) * x }
  }

  @Test("Spec: C9.8a CA.1 of a linear equation the k-th round is the exponential series to the k-th power")
  func series() {
    let (rate, n) = (0.7, 50)
    let grid = TimeGrid((0...n).map { 2 - Double($0) / Double(n) })
    let h = -1 / Double(n)
    var k = 0
    for round in PicardIteration(
      from: Tensor(rows: [[1]]), along: grid, with: .euler, in: Growth(rate: rate), window: n,
      settling: .squaredDistance(-1))
    {
      k += 1
      guard k <= 6 else { break }
      // Σ_{i ≤ k} C(n, i) (a h)ⁱ: the binomial series of the Euler steps, cut off. One state more is final each round.
      var (term, sum) = (1.0, 1.0)
      for i in 1...k {
        term *= rate * h * Double(n - i + 1) / Double(i)
        sum += term
      }
      #expect(abs(round.states.last!.item - sum) < 1e-12, "round \(k)")
    }
  }

  @Test("Spec: C9.8a all iterates are within (L T)^k/k! of the end they come to, for a flow whose L is known")
  func lipschitz() {
    let (rate, n) = (3.0, 60)
    let grid = TimeGrid((0...n).map { 2 - Double($0) / Double(n) })
    let (start, field) = (Tensor(rows: [[1]]), Growth(rate: rate))
    let sequential = Trajectory(from: start, along: grid, with: .euler, in: ProbabilityFlow(field)).map(\.state)
    let first = sequential.map { distance($0, start) }.max()!
    var (k, bound) = (0, first)
    for round in PicardIteration(
      from: start, along: grid, with: .euler, in: field, window: n, settling: .squaredDistance(-1))
    {
      k += 1
      guard k <= 14 else { break }
      bound *= rate / Double(k)
      let deviation = zip(round.states, sequential[round.first...]).map(distance).max()!
      #expect(deviation <= bound + 1e-13, "round \(k): \(deviation), \(bound)")
      // It says something.
      #expect(k > 6 || deviation > 0.02 * bound, "round \(k): \(deviation), \(bound)")
    }
  }

  @Test(
    "Spec: C9.8a C9.8b E19 every round's window is the serial sum of increments, and slides as the algorithm's",
    arguments: [(8, 1e-4), (16, 1e-6), (64, 1e-6)])
  func trace(window: Int, bound: Double) {
    let world = PlaneFlow.flow
    let (grid, flow) = (world.timeGrid(64), ProbabilityFlow(world.denoiser))
    var states = Array(repeating: world.start, count: 65)
    var first = 0
    for round in PicardIteration(
      from: world.start, along: grid, with: .euler, in: world.denoiser, window: window,
      settling: .squaredDistance(bound))
    {
      let width = min(window, 64 - first)
      #expect(round.first == first && round.states.count == width + 1 && round.evaluations == width)
      var sums = [states[first]]
      for j in first..<first + width {
        let h = grid.times[j + 1] - grid.times[j]
        sums.append(sums[j - first] + h * flow.velocity(states[j], at: grid.times[j]))
      }
      for (found, sum) in zip(round.states, sums) { #expect(distance(found, sum) < 1e-12) }
      let moved = (1..<width).first { (sums[$0] - states[first + $0]).squared().sum().item > bound }
      #expect(round.settled == moved ?? width)
      states.replaceSubrange(first...first + width, with: sums)
      // What comes into the window begins where its end is.
      for r in (first + width + 1)..<max(first + width + 1, min(65, first + width + 1 + round.settled)) {
        states[r] = sums[width]
      }
      first += round.settled
    }
    #expect(first == 64)
  }

  @Test("Spec: C9.8b deviations fall with the tolerance, and windows wider than the grid do no harm")
  func monotone() {
    let world = PlaneFlow.flow
    let grid = world.timeGrid(20)
    let sequential = integrate(world.start, along: grid, with: .ddim, in: world.denoiser)
    var last = Double.infinity
    for tolerance in [1e-2, 1e-4, 1e-6, 1e-8, 1e-10] {
      let found = PicardIteration(
        from: world.start, along: grid, with: .ddim, in: world.denoiser, window: 50,
        settling: .squaredDistance(tolerance)
      ).integrated()
      let deviation = distance(found.state, sequential)
      #expect(deviation <= last && found.rounds <= 20 && found.evaluations <= found.rounds * 20)
      last = deviation
    }
    #expect(last < 1e-5)
  }

  @Test("Spec: C9.8b a tolerance beside the noise asks every sample")
  func relative() {
    let kernel = EDMSchedule().kernel(at: 2)
    var values = [Double](repeating: 0, count: 200)
    (values[7], values[8]) = (0.3, 0.3)
    let change = Tensor(values, shape: [100, 2])
    // One sample's root mean square is 0.3/√2, that of its neighbour 0.3/√2.
    #expect(PicardTolerance.relativeToNoise(0.107).holds(change, beside: kernel))
    #expect(!PicardTolerance.relativeToNoise(0.105).holds(change, beside: kernel))
    #expect(PicardTolerance.squaredDistance(0.1801).holds(change, beside: kernel))
    #expect(!PicardTolerance.squaredDistance(0.1799).holds(change, beside: kernel))
    #expect(!PicardTolerance.squaredDistance(1).holds(change * Double.nan, beside: kernel))
  }

  @Test("Spec: C9.8b states count as settled beside the noise of their own times")
  func ownNoise() {
    let (world, bound) = (PlaneFlow.edm, 0.01)
    let grid = world.halfLogSNRGrid(24)
    var before = Array(repeating: world.start, count: 25)
    var partial = 0
    for round in PicardIteration(
      from: world.start, along: grid, with: .ddim, in: world.denoiser, window: 12, settling: .relativeToNoise(bound))
    {
      let width = round.states.count - 1
      let moved = (1..<width).first { j in
        let change = (round.states[j] - before[round.first + j]).squared().mean(-1).max().item.squareRoot()
        return change > bound * grid.times[round.first + j]
      }
      #expect(round.settled == moved ?? width)
      if round.settled > 1, round.settled < width { partial += 1 }
      before.replaceSubrange(round.first..., with: round.states)
      // New states begin where the window's last one is.
      before += Array(repeating: round.states[width], count: 25 - before.count)
    }
    #expect(partial > 0)
  }

  @Test("Spec: C9.8c rounds of the trapezoidal rule are those of its formula, beside the noise of each time")
  func trapezoidRounds() {
    let (world, bound, window) = (PlaneFlow.edm, 1e-3, 6)
    let grid = world.halfLogSNRGrid(20)
    let flow = ProbabilityFlow(world.denoiser)
    var states = Array(repeating: world.start, count: 21)
    var (first, rounds, evaluations) = (0, 0, 0)
    while first < 20 {
      let width = min(window, 20 - first)
      let velocities = (0...width).map { flow.velocity(states[first + $0], at: grid.times[first + $0]) }
      var (sum, settled, isSettling) = (states[first], 0, true)
      for j in 1...width {
        let h = grid.times[first + j] - grid.times[first + j - 1]
        sum = sum + (0.5 * h) * (velocities[j - 1] + velocities[j])
        let change = (sum - states[first + j]).squared().mean(-1).max().item.squareRoot()
        isSettling = isSettling && change <= bound * grid.times[first + j]
        if isSettling { settled = j }
        states[first + j] = sum
      }
      for k in (first + width + 1)..<max(21, first + width + 1) { states[k] = sum }
      first += settled
      rounds += 1
      evaluations += width + 1
    }
    let found = TrapezoidIteration(window: window, settling: .relativeToNoise(bound))
      .integrated(world.start, along: grid, in: world.denoiser)
    #expect(found.rounds == rounds && found.evaluations == evaluations, "\(found.rounds), \(rounds)")
    expectClose(found.state, states[20], within: 1e-12)
  }

  @Test("Spec: C9.8b a network answers a whole window in one evaluation, as it answers each")
  func network() {
    let calls = EvaluationCounter()
    let network = FunctionNetwork(dimension: 2) { x, noise in
      calls.increment()
      return (x * noise.expanded(at: 1) + x.sin(), noise)
    }
    let model = NetworkDenoiser(network, Preconditioning.edm(sigmaData: 0.5), on: .edm)
    let points = [
      Tensor(rows: [[1, 2], [0, 1]]), Tensor(rows: [[3, -1], [2, 2]]), Tensor(rows: [[0.5, 0.1], [1, -1]]),
    ]
    let times = [5, 1.0, 0.2]
    let together = model.denoise(points, at: times)
    #expect(calls.count == 1)
    for (x, (t, answer)) in zip(points, zip(times, together)) {
      expectClose(answer, model.denoise(x, at: t), within: 1e-15)
    }
  }

  @Test("Spec: C9.8c E20 the trapezoidal rule at once settles to the implicit rule step by step, of order 2")
  func trapezoid() {
    let world = PlaneFlow.flow
    let flow = ProbabilityFlow(world.denoiser)
    /// Every step's equation by its own iteration.
    func implicit(_ grid: TimeGrid) -> Tensor {
      zip(grid.times, grid.times.dropFirst()).reduce(world.start) { x, times in
        let (t, s) = times
        let begin = flow.velocity(x, at: t)
        return (0..<60).reduce(x + (s - t) * begin) { end, _ in
          x + (0.5 * (s - t)) * (begin + flow.velocity(end, at: s))
        }
      }
    }
    var errors: [(steps: Int, error: Double)] = []
    for n in [40, 80] {
      let grid = world.timeGrid(n)
      let sequential = implicit(grid)
      for window in [8, n] {
        let found = TrapezoidIteration(window: window, settling: .squaredDistance(1e-26))
          .integrated(world.start, along: grid, in: world.denoiser)
        #expect(found.outcome == .converged && distance(found.state, sequential) < 1e-10)
        #expect(found.evaluations <= found.rounds * (window + 1))
      }
      errors.append((n, distance(sequential, world.end)))
    }
    #expect(abs(observedOrder(errors) - 2) < 0.2, "\(errors)")
    let cut = TrapezoidIteration(window: 8, settling: .squaredDistance(1e-26), roundLimit: 3)
      .integrated(world.start, along: world.timeGrid(40), in: world.denoiser)
    #expect(cut.outcome == .stepLimit && cut.rounds == 3 && cut.evaluations == 27)
  }
}
