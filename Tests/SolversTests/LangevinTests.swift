import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// Langevin dynamics away from Gaussians, and the stochastic integral under it all.
@Suite struct LangevinTests {
  /// `p ∝ e^{−E}`, `E = x⁴/4 − x²`, two wells; its `E[x²]` by quadrature is 1.665490974257 (`Spec: B1.3`).
  struct TwoWells: Denoiser {
    let schedule: any NoiseSchedule = EDMSchedule()
    static let secondMoment = 1.665490974257
    static func score(_ x: Tensor) -> Tensor { 2 * x - x * x * x }
    static func logDensity(_ x: Tensor) -> Tensor { (x.squared() - 0.25 * x.squared().squared()).flattened.sum(-1) }
    /// The estimate whose score, at any level, is that of the wells.
    func denoise(_ x: Tensor, at t: Double) -> Tensor { x + (t * t) * Self.score(x) }
  }

  @Test("the second moment of the two wells is the printed one")
  func wells() {
    let n = 4000
    let points = (0...n).map { -6 + 12 * Double($0) / Double(n) }
    let weights = points.map { exp(-pow($0, 4) / 4 + $0 * $0) }
    let mass = weights.reduce(0, +)
    let moment = zip(points, weights).reduce(0) { $0 + $1.0 * $1.0 * $1.1 } / mass
    #expect(abs(moment - TwoWells.secondMoment) < 1e-11)
    #expect(abs(mass * 12 / Double(n) - 7.587482372651) < 1e-10)
  }

  @Test("Spec: B3.5 short Langevin steps in two wells reach their second moment")
  func quartic() {
    var (generator, stream) = (Generator(seed: 1), NoiseStream(.seed(2)))
    let start = Tensor.normal([20_000, 1], using: &generator)
    let end = Langevin(.fixed(1e-3), count: 3000)(start, at: 1, in: TwoWells(), noise: &stream)
    #expect(abs(end.squared().mean().item - TwoWells.secondMoment) < 0.05, "\(end.squared().mean().item)")
  }

  @Test("Spec: B3.5 long steps need the Metropolis correction, with which their limit is the density itself")
  func corrected() {
    let density: MetropolisLangevin.Density = { (TwoWells.logDensity($0), TwoWells.score($0)) }
    var (generator, streams) = (Generator(seed: 1), [NoiseStream(.seed(2)), NoiseStream(.seed(3))])
    // Within the reach of steps this long: from far out they overshoot to ever farther.
    let start = 0.5 * Tensor.normal([20_000, 1], using: &generator)
    func deviation(_ x: Tensor) -> Double {
      let squares = x.squared()
      let error = squares.standardDeviation().item / Double(20_000).squareRoot()
      return (squares.mean().item - TwoWells.secondMoment) / error
    }
    let plain = Langevin(.fixed(0.1), count: 300)(start, at: 1, in: TwoWells(), noise: &streams[0])
    #expect(abs(deviation(plain)) > 8, "\(deviation(plain))")
    let (end, taken) = MetropolisLangevin(stepSize: 0.1, count: 300)(start, of: density, noise: &streams[1])
    #expect(abs(deviation(end)) < 4, "\(deviation(end))")
    #expect(taken > 0.5 && taken < 0.99, "\(taken)")
  }

  @Test("Spec: B3.5 a step is taken up to the ratio of both ways' densities, and none into what is no number")
  func ratio() {
    let (x, draw, size) = (Tensor(rows: [[1.3, -1.2], [-1.5, 1.4]]), Tensor(rows: [[1.4, -0.9], [-1, 0.7]]), 0.2)
    let score = TwoWells.score(x)
    let y = x + size * score + (2 * size).squareRoot() * draw
    // log q of both ways, as they are defined.
    func way(_ a: Tensor, _ b: Tensor) -> Tensor {
      -(b - a - size * TwoWells.score(a)).squared().sum(-1) / (4 * size)
    }
    let gain = TwoWells.logDensity(y) - TwoWells.logDensity(x) + way(y, x) - way(x, y)
    #expect(gain.doubles.allSatisfy { $0 < 0 }, "\(gain.doubles)")
    let density: MetropolisLangevin.Density = { (TwoWells.logDensity($0), TwoWells.score($0)) }
    for (share, end) in [(1 + 1e-9, y), (1 - 1e-9, x)] {
      // −log u = (z₁² + z₂²)/2.
      let (first, second) = ((-0.5 * share * gain).sqrt(), (-1.5 * share * gain).sqrt())
      var stream = NoiseStream(.given([draw, first, second]))
      let found = MetropolisLangevin(stepSize: size)(x, of: density, noise: &stream)
      expectClose(found.state, end, within: 1e-14)
      #expect(found.taken == (share > 1 ? 1 : 0))
    }
    var stream = NoiseStream(.seed(1))
    let lost = MetropolisLangevin(stepSize: size, count: 3)(
      x, of: { (Tensor([Double.nan, 0]) + 0 * $0.sum(-1), 0 * $0) }, noise: &stream)
    expectClose(lost.state[..<1], x[..<1], within: 0)
    #expect((lost.state[1...] - x[1...]).abs().min().item > 0)
  }

  @Test("Spec: B3.5 the density is stationary under its score and noise of √2, and under no other noise")
  func stationary() throws {
    // F4, raised to a noise of 0.2.
    let (weights, deviations) = (Tensor([0.5, 0.3, 0.2]), [0.3, 0.5, 0.4])
    let means = Tensor(rows: [[-2, 0], [2, 1], [0, -2]])
    let field = GaussianMixtureDenoiser(
      try GaussianMixture(weights: weights, means: means, standardDeviations: Tensor(deviations)), on: .edm)
    let raised = try GaussianMixture(
      weights: weights, means: means, standardDeviations: Tensor(deviations.map { ($0 * $0 + 0.04).squareRoot() }))
    let points = Tensor(rows: (-8...8).flatMap { i in (-8...8).map { [0.4 * Double(i), 0.4 * Double($0)] } })
    let h = 0.004
    func density(_ shift: [Double]) -> Tensor { raised.logDensity(points + Tensor(shift)).exp() }
    func flux(_ shift: [Double], _ axis: Int) -> Tensor {
      density(shift) * field.score(points + Tensor(shift), at: 0.2)[Axis.all, axis]
    }
    var (divergence, laplacian) = (Tensor.zeros([points.batch]), Tensor.zeros([points.batch]))
    for axis in 0..<2 {
      func along(_ k: Double) -> [Double] { (0..<2).map { $0 == axis ? k * h : 0 } }
      // Central differences of the fourth order.
      divergence +=
        (8 * (flux(along(1), axis) - flux(along(-1), axis)) - (flux(along(2), axis) - flux(along(-2), axis))) / (12 * h)
      laplacian +=
        (16 * (density(along(1)) + density(along(-1))) - (density(along(2)) + density(along(-2))) - 30
          * density([0, 0]))
        / (12 * h * h)
    }
    func residual(_ noise: Double) -> Double { (0.5 * noise * noise * laplacian - divergence).abs().max().item }
    #expect(residual(2.0.squareRoot()) < 1e-6, "\(residual(2.0.squareRoot()))")
    #expect(residual(1) > 0.1 && residual(2) > 0.1)
  }

  @Test("Spec: B4.12 without noise in the last step the mean stays and the variance is less by that step's")
  func lastNoise() throws {
    let (schedule, model) = (VariancePreserving(), try LineFlow.gauss(on: .variancePreserving).denoiser())
    let grid = TimeGrid.uniform(100, over: schedule, from: 1, to: 1e-3)
    let whole = AffineRun.along(grid, in: model) { EulerMaruyama(noise: $0) }
    // One draw less is asked for.
    let quiet = AffineRun.along(grid, in: model, draws: 99) { EulerMaruyama(noise: $0).withoutLastNoise(on: grid) }
    #expect(abs(quiet.mean(0.3) - whole.mean(0.3)) < 1e-13)
    let (last, h) = (grid.times[99], grid.times[99] - grid.times[100])
    let added = pow(schedule.kernel(at: last).diffusion, 2) * h
    #expect(added > 1e-3 && abs(whole.variance(1) - quiet.variance(1) - added) < 1e-12)
  }

  /// The reverse SDE with the sign of its score turned.
  private struct WrongSign: Solver {
    let noise: NoiseSource
    func makeMemory() -> NoiseStream { NoiseStream(noise) }
    func step(
      _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout NoiseStream
    ) -> Tensor {
      let g = field.schedule.kernel(at: t).diffusion
      let drift = ProbabilityFlow(field).velocity(x, at: t) + (0.5 * g * g) * field.score(x, at: t)
      return x - (t - s) * drift + (g * (t - s).squareRoot()) * memory.draw(like: x)
    }
  }

  @Test("Spec: B6.12 with the score's sign turned the variance ends at 4.6e4, and not at 1.69")
  func wrongSign() throws {
    let (schedule, model) = (VariancePreserving(), try LineFlow.gauss(on: .variancePreserving).denoiser())
    let start = StochasticTests.exact(schedule, 1)
    func variance<S: Solver>(_ n: Int, _ solver: (NoiseSource) -> S) -> Double where S.Field == any Denoiser {
      AffineRun.along(.uniform(n, over: schedule, from: 1, to: 1e-3), in: model, solver).variance(start.variance)
    }
    // The limit of small steps, by extrapolation.
    let wrong = 2 * variance(1000) { WrongSign(noise: $0) } - variance(500) { WrongSign(noise: $0) }
    #expect(abs(wrong / 4.6e4 - 1) < 0.01, "\(wrong)")
    let right = 2 * variance(1000) { EulerMaruyama(noise: $0) } - variance(500) { EulerMaruyama(noise: $0) }
    #expect(abs(right - StochasticTests.exact(schedule, 1e-3).variance) < 1e-3 && wrong > 10 * right)
  }

  // MARK: The stochastic integral

  @Test("Spec: CA.2 increments of a run are independent and of variance Δ; an integral has mean 0 and Itô's variance")
  func increments() throws {
    let (schedule, model) = (VariancePreserving(), try LineFlow.gauss(on: .variancePreserving).denoiser())
    let (rows, n) = (20_000, 6)
    let grid = TimeGrid.uniform(n, over: schedule, from: 0.9, to: 0.3)
    let (sde, drift) = (
      EulerMaruyama(noise: .seed(11)), EulerMaruyama(noise: .given(Array(repeating: Tensor([0.0]), count: n)))
    )
    var (memory, still) = (sde.makeMemory(), drift.makeMemory())
    var x = Tensor.zeros([rows, 1])
    var (increments, lengths, diffusions) = ([Tensor](), [Double](), [Double]())
    for (t, s) in zip(grid.times, grid.times.dropFirst()) {
      let mean = drift.step(x, from: t, to: s, in: model, memory: &still)
      x = sde.step(x, from: t, to: s, in: model, memory: &memory)
      diffusions.append(schedule.kernel(at: t).diffusion)
      increments.append((x - mean) / diffusions[diffusions.count - 1])
      lengths.append(t - s)
    }
    let root = Double(rows).squareRoot()
    for i in 0..<n {
      // The variance of a sample variance is 2Δ²/N, that of a product of two increments Δᵢ Δⱼ.
      let square = increments[i].squared().mean().item
      #expect(abs(square - lengths[i]) < 4 * 2.0.squareRoot() * lengths[i] / root, "\(i): \(square)")
      for j in 0..<i {
        let product = (increments[i] * increments[j]).mean().item
        #expect(abs(product) < 4 * (lengths[i] * lengths[j]).squareRoot() / root, "\(i), \(j): \(product)")
      }
    }
    // ∫ g dw, and its variance ∫ g² dt.
    let integral = zip(diffusions, increments).reduce(Tensor.zeros([rows, 1])) { $0 + $1.0 * $1.1 }
    let isometry = zip(diffusions, lengths).reduce(0) { $0 + $1.0 * $1.0 * $1.1 }
    #expect(abs(integral.mean().item) < 4 * isometry.squareRoot() / root)
    #expect(abs(integral.squared().mean().item - isometry) < 4 * 2.0.squareRoot() * isometry / root)
    // ∫ w dw from the left has mean 0; from the middle it has half the time.
    var (w, left, middle) = (Tensor.zeros([rows, 1]), Tensor.zeros([rows, 1]), Tensor.zeros([rows, 1]))
    for dw in increments {
      left += w * dw
      middle += (w + 0.5 * dw) * dw
      w += dw
    }
    let total = lengths.reduce(0, +)
    func deviation(_ sum: Tensor) -> Double { 4 * sum.standardDeviation().item / root }
    #expect(abs(left.mean().item) < deviation(left))
    #expect(abs(middle.mean().item - 0.5 * total) < deviation(middle) && deviation(middle) < 0.05 * total)
  }
}
