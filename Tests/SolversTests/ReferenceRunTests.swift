import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// Whole runs of methods that remember, against their formulas written out.
@Suite struct ReferenceRunTests {
  static let world = PlaneFlow.vp
  static let grid = TimeGrid([0.9, 0.8, 0.66, 0.55, 0.42, 0.3, 0.22, 0.15])

  @Test("a run of pndm and ipndm is classical steps for x/α in σ/α, with the weights of Adams and Bashforth")
  func pseudoLinear() {
    let (field, times) = (Self.world.denoiser, Self.grid.times)
    let schedule = field.schedule
    func ratio(_ t: Double) -> Double { schedule.sigma(t) / schedule.alpha(t) }
    func noise(_ y: Tensor, _ t: Double) -> Tensor { field.noise(schedule.alpha(t) * y, at: t) }
    let weights: [[Double]] = [[1], [1.5, -0.5], [23, -16, 5].map { $0 / 12 }, [55, -59, 37, -9].map { $0 / 24 }]
    func end(rungeKutta: Bool) -> Tensor {
      var (y, noises) = (Self.world.start / schedule.alpha(times[0]), [Tensor]())
      for (t, s) in zip(times, times.dropFirst()) {
        let (m, h) = (0.5 * (t + s), ratio(s) - ratio(t))
        noises = [noise(y, t)] + noises.prefix(3)
        guard rungeKutta, noises.count < 4 else {
          y = zip(weights[noises.count - 1], noises).reduce(y) { $0 + h * $1.0 * $1.1 }
          continue
        }
        let a = noises[0]
        let b = noise(y + (ratio(m) - ratio(t)) * a, m)
        let c = noise(y + (ratio(m) - ratio(t)) * b, m)
        let d = noise(y + h * c, s)
        y += (h / 6) * (a + 2 * b + 2 * c + d)
      }
      return schedule.alpha(times[times.count - 1]) * y
    }
    expectClose(
      integrate(Self.world.start, along: Self.grid, with: .pndm, in: field), end(rungeKutta: true), within: 1e-12)
    expectClose(
      integrate(Self.world.start, along: Self.grid, with: .ipndm, in: field), end(rungeKutta: false), within: 1e-12)
  }

  @Test("a run of edm-heun is Heun's method for x/α in σ/α")
  func heun() {
    let (field, times) = (Self.world.denoiser, Self.grid.times)
    let schedule = field.schedule
    var y = Self.world.start / schedule.alpha(times[0])
    for (t, s) in zip(times, times.dropFirst()) {
      let h = schedule.sigma(s) / schedule.alpha(s) - schedule.sigma(t) / schedule.alpha(t)
      let first = field.noise(schedule.alpha(t) * y, at: t)
      y += (0.5 * h) * (first + field.noise(schedule.alpha(s) * (y + h * first), at: s))
    }
    let end = schedule.alpha(times[times.count - 1]) * y
    expectClose(integrate(Self.world.start, along: Self.grid, with: .edmHeun, in: field), end, within: 1e-12)
  }

  @Test("Heun's method in λ asks at the times of the grid themselves, and not at roundings of them")
  func times() {
    let field = SolverLaws.Listening(Self.world.denoiser)
    for grid in [Self.grid, .uniform(40, over: field.schedule, from: 1, to: 1e-3)] {
      for (t, s) in zip(grid.times, grid.times.dropFirst()) {
        _ = integrate(Self.world.start, along: TimeGrid([t, s]), with: .heunInHalfLogSNR, in: field)
        #expect(field.last?.time == s)
      }
    }
  }

  /// The weights with which the polynomial through values at some `λ` is integrated over a step, by Simpson's rule.
  static func weights(_ nodes: [Double], _ frame: Frame, from t: Double, to s: Double) -> [Double] {
    let schedule = world.schedule
    let (now, next) = (schedule.kernel(at: t), schedule.kernel(at: s))
    let (n, h) = (2000, next.halfLogSNR - now.halfLogSNR)
    return nodes.indices.map { j in
      (0...n).reduce(0) { sum, i in
        let lambda = now.halfLogSNR + h * Double(i) / Double(n)
        let basis = nodes.indices.filter { $0 != j }.reduce(1.0) {
          $0 * (lambda - nodes[$1]) / (nodes[j] - nodes[$1])
        }
        // α_s ∫ e^{λ − λ_s} x̂₀ dλ, or −σ_s ∫ e^{λ_s − λ} ε̂ dλ.
        let gain =
          frame == .data ? next.alpha * exp(lambda - next.halfLogSNR) : -next.sigma * exp(next.halfLogSNR - lambda)
        return sum + gain * basis * (h / Double(n) / 3) * (i == 0 || i == n ? 1 : (i % 2 == 1 ? 4 : 2))
      }
    }
  }

  @Test(
    "a run of unipc is its prediction and its correction, with B₁ or B₂ in place of a slope's weight",
    arguments: [1, 2, 3], UniPC.SlopeWeight.allCases)
  func uniPC(_ order: Int, _ slopeWeight: UniPC.SlopeWeight) {
    let (field, times) = (Self.world.denoiser, Self.grid.times)
    for frame in Frame.allCases {
      func quantity(_ x: Tensor, _ t: Double) -> Tensor {
        frame == .data ? field.denoise(x, at: t) : field.noise(x, at: t)
      }
      /// `x` at `s` from the values at some times, the one at the step's begin first.
      func carried(_ x: Tensor, _ t: Double, _ s: Double, _ nodes: [(time: Double, value: Tensor)]) -> Tensor {
        let (now, next) = (field.schedule.kernel(at: t), field.schedule.kernel(at: s))
        let lambdas = nodes.map { field.schedule.kernel(at: $0.time).halfLogSNR }
        var weights = Self.weights(lambdas, frame, from: t, to: s)
        if nodes.count == 2 {
          let h = next.halfLogSNR - now.halfLogSNR
          let r = (lambdas[1] - lambdas[0]) / h
          // B(−h) of the paper with the data, B(h) with the noise: h or e^h − 1.
          let b = frame == .data ? (slopeWeight == .h ? h : -expm1(-h)) : (slopeWeight == .h ? h : expm1(h))
          let slope = 0.5 * (frame == .data ? next.alpha : -next.sigma) * b / r
          weights = [weights[0] + weights[1] - slope, slope]
        }
        let scale = frame == .data ? next.sigma / now.sigma : next.alpha / now.alpha
        return zip(weights, nodes).reduce(scale * x) { $0 + $1.0 * $1.1.value }
      }
      var (x, nodes) = (Self.world.start, [(time: Double, value: Tensor)]())
      for (index, (t, s)) in zip(times, times.dropFirst()).enumerated() {
        if index == 0 { nodes = [(t, quantity(x, t))] }
        let predicted = carried(x, t, s, nodes)
        guard index + 2 < times.count else {
          // The last step is not corrected: nobody asks at its end.
          x = predicted
          break
        }
        let value = (time: s, value: quantity(predicted, s))
        x = carried(x, t, s, [nodes[0], value] + nodes.dropFirst())
        nodes = [value] + nodes.prefix(order - 1)
      }
      let counted = CountedDenoiser(field)
      let found = integrate(
        Self.world.start, along: Self.grid, with: UniPC(order, frame, slopeWeight: slopeWeight), in: counted)
      expectClose(found, x, within: 1e-10)
      #expect(counted.counter.count == 7)
      // Started by single steps of its order until it remembers enough.
      _ = integrate(
        Self.world.start, along: Self.grid, with: UniPC(order, frame, slopeWeight: slopeWeight, start: .singleStep),
        in: counted)
      #expect(counted.counter.count == 14 + (order - 1) * (order - 1))
    }
  }
}
