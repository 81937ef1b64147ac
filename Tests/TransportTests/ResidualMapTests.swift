import RealModule
import Scorefield
import ScorefieldTestSupport
import Testing

/// The Ornstein–Uhlenbeck process `dx = −x dt + √2 dw`.
private struct OrnsteinUhlenbeck: NoiseSchedule {
  let timeRange: ClosedRange<Double> = 1e-13...8
  func alpha<S: Elementary>(_ t: S) -> S { .exp(-t) }
  func sigma<S: Elementary>(_ t: S) -> S { .sqrt(-.expMinusOne(S(-2) * t)) }
}

/// The map of the probability flow from data to noise, which is no optimal transport.
@Suite struct ResidualMapTests {
  /// Two long Gaussians across each other.
  static func crossed() throws -> GaussianMixture {
    let covariances = [0.8, -0.3].map { angle -> [[Double]] in
      let (c, s) = (Double.cos(angle), Double.sin(angle))
      return [
        [2 * c * c + 0.02 * s * s, 1.98 * c * s], [1.98 * c * s, 2 * s * s + 0.02 * c * c],
      ]
    }
    return try GaussianMixture(
      means: Tensor(rows: [[1.5, 0], [-1.5, 0]]),
      covariances: Tensor(covariances.flatMap { $0.flatMap { $0 } }, shape: [2, 2, 2]))
  }

  /// `∂²f/∂x²` of a scalar function at a point `[2]`, itself differentiable.
  private func hessian(_ f: @escaping (Tensor) -> Tensor, _ x: Tensor) -> Tensor {
    .stacked(
      (0..<2).map { axis in gradient(at: x) { gradient(at: $0, of: f)[axis] } })
  }

  @Test(
    "(Spec: C7.5a.1, C7.5a.2) the commutator that an optimal residual map needs to vanish does not, by derivatives of order four"
  )
  func commutator() {
    func norm(_ epsilon: Double, cubic: Double) -> Double {
      let origin = Tensor([0.0, 0.0])
      let u: (Tensor) -> Tensor = { x in
        0.5 * x.squared().sum() + epsilon * (x[0] * x[1]) + (epsilon * cubic) * x[0].squared().squared()
      }
      let potential: (Tensor) -> Tensor = { x in
        let h = hessian(u, x)
        let determinant = h[0][0] * h[1][1] - h[0][1] * h[1][0]
        return determinant.log() - 0.5 * gradient(at: x, of: u).squared().sum()
      }
      let (a, b) = (hessian(potential, origin), hessian(u, origin))
      return (a.matmul(b) - b.matmul(a)).norm(-2, -1).item
    }
    #expect(abs(norm(0.1, cubic: 1) - 0.3428396514843868) < 1e-9)
    #expect(abs(norm(0.05, cubic: 1) - 0.0850654774359757) < 1e-9)
    #expect(norm(0.1, cubic: 0) < 1e-12)
    // u is convex, so that its gradient is the optimal map that the flow's is compared with.
    for epsilon in stride(from: 0.05, to: 1, by: 0.05) {
      for x in stride(from: -3.0, through: 3, by: 0.25) { #expect(1 + 12 * epsilon * x * x - epsilon * epsilon > 0) }
    }
  }

  @Test(
    "(Spec: C7.5a.3) the crossed Gaussians are carried, and their Jacobian is not symmetric, as the variational equation has it"
  )
  func crossedGaussians() throws {
    let field = GaussianMixtureDenoiser(try Self.crossed(), on: OrnsteinUhlenbeck())
    let verdict = transportVerdict(
      at: Tensor(rows: [[1, 1], [0, 0]]), under: field, fisher: ExactFisher(field), from: 1e-13, to: 8)
    expectClose(verdict.jacobian.endpoint[0], Tensor([-0.623512405896, 4.910197328611]), within: 1e-7)
    let expected = Tensor(
      [
        0.348802912797, -0.630682054511, -1.937552849812, 3.503354399527, -0.063259500395, -0.632778185990,
        0.574800878459,
        4.442804440738,
      ], shape: [2, 2, 2])
    expectClose(verdict.jacobian.matrix, expected, within: 1e-7)
    // The row divides by √2 |A|.
    #expect(abs(2.0.squareRoot() * verdict.asymmetry[0].item - 0.3213) < 5e-5)
    #expect(verdict.answers == [.notOptimal, .notOptimal])
  }

  @Test(
    "(Spec: C7.5a.4) on a cloud of quantiles the flow's pairing costs 0.8 % more than the best one", .tags(.slow),
    .whenAllTestsRun)
  func costGap() throws {
    let levels = (0..<32).map { (Double($0) + 0.5) / 32 }
    let normal = Tensor(levels.map { 2 * $0 - 1 }).erfinv() * 2.0.squareRoot()
    let grid = Tensor.stacked(
      [normal.repeated(32, 0), normal.expanded(at: 0).broadcast(to: [32, 32]).reshaped([1024])], 1)
    let mixture = try Self.crossed()
    let cloud = Tensor.concatenated(
      (0..<2).map { mixture.means[$0] + grid.matmul(mixture.covariances[$0].cholesky().transposed) })
    let field = GaussianMixtureDenoiser(mixture, on: OrnsteinUhlenbeck())
    let end = encode(cloud, under: field, from: 1e-13, to: 8, solver: .dopri5(rtol: 1e-8, atol: 1e-10)).points
    let best = optimalAssignment(squaredCost(cloud, end))
    #expect(abs((end - cloud).squared().sum(-1).mean().item - 1.4223388483) < 1e-7)
    #expect(abs(best.value - 1.4110832120) < 1e-7)
    let changed = best.columns.integers.enumerated().count { $0 != $1 }
    #expect(abs(Double(changed) / 2048 - 0.84) < 0.01)
    #expect(best.dualityGap < 1e-10)
  }

  @Test(
    "(Spec: C7.1b.3, C7.2b.5) from one Gaussian over the noise to another: optimal where covariances commute, the row's gap where not"
  )
  func gaussianPair() throws {
    func carry(_ source: Tensor, _ target: Tensor) throws -> (matrix: Tensor, answer: TransportAnswer) {
      func field(_ covariance: Tensor) throws -> GaussianMixtureDenoiser {
        GaussianMixtureDenoiser(
          try GaussianMixture(means: Tensor(rows: [[0, 0]]), covariances: covariance.expanded(at: 0)),
          on: OrnsteinUhlenbeck())
      }
      let (a, b) = (try field(source), try field(target))
      let up = flowJacobian(at: Tensor(rows: [[0.3, -0.2]]), under: a, fisher: ExactFisher(a), from: 1e-13, to: 8)
      let down = flowJacobian(at: up.endpoint, under: b, fisher: ExactFisher(b), from: 8, to: 1e-13)
      let whole = FlowJacobian(
        endpoint: down.endpoint, endpointError: down.endpointError, matrix: down.matrix.matmul(up.matrix),
        matrixError: down.matrixError * up.matrix.norm(-2, -1) + up.matrixError * down.matrix.norm(-2, -1),
        evaluations: up.evaluations + down.evaluations, outcome: .converged)
      return (whole.matrix[0], TransportVerdict(whole).answer)
    }
    let (source, target) = (Tensor(rows: [[2, 0.6], [0.6, 0.5]]), Tensor(rows: [[1, -0.4], [-0.4, 1.5]]))
    let crossed = try carry(source, target)
    expectClose(
      crossed.matrix, Tensor(rows: [[0.8566029149, -0.6792796939], [-0.5948814043, 2.1609434649]]), within: 1e-6)
    #expect(crossed.answer == .notOptimal)
    // E|(A − I) x|² and the distance of the means, beside the optimum.
    let step = crossed.matrix - Tensor.identity(2)
    let cost = step.matmul(source).matmul(step.transposed).trace.item + 10
    #expect(abs(cost - 10.941638193149) < 1e-5 && cost > 10.939392210791 + 1e-3)

    let (c, s) = (Double.cos(0.4), Double.sin(0.4))
    let turn = Tensor(rows: [[c, -s], [s, c]])
    func turned(_ values: [Double]) -> Tensor { turn.matmul(Tensor(values).diagonalMatrix).matmul(turn.transposed) }
    let commuting = try carry(turned([2, 0.3]), turned([0.5, 1.7]))
    #expect(commuting.answer == .optimal)
    expectClose(commuting.matrix, turned([(0.5 / 2).squareRoot(), (1.7 / 0.3).squareRoot()]), within: 1e-6)
  }

  @Test("(Spec: C7.5a.5) in one dimension the map is monotone and carries quantiles to quantiles")
  func oneDimension() throws {
    let mixture = try GaussianMixture(
      weights: Tensor([0.4, 0.6]), means: Tensor(rows: [[-1], [1.5]]), standardDeviations: Tensor([0.3, 0.2]).sqrt())
    let field = GaussianMixtureDenoiser(mixture, on: OrnsteinUhlenbeck())
    let verdict = transportVerdict(
      at: Tensor(rows: [[-1.5], [-0.2], [0.4], [1.7]]), under: field, fisher: ExactFisher(field), from: 1e-13, to: 3,
      accuracy: FlowAccuracy(rtol: 1e-9))
    expectClose(
      verdict.jacobian.endpoint,
      Tensor(rows: [[-1.43561581651], [-0.304021361288], [-0.223349525528], [0.880175230573]]), within: 1e-9)
    #expect(verdict.answer == .optimal && verdict.smallestEigenvalue.min().item > 0)
  }

  @Test("(Spec: C7.5a.5) a product of mixtures has a diagonal Jacobian, and an optimal map")
  func product() throws {
    let (left, right) = ([-1.0, 1.5], [-0.5, 0.8])
    let mixture = try GaussianMixture(
      weights: Tensor([0.4 * 0.3, 0.4 * 0.7, 0.6 * 0.3, 0.6 * 0.7]),
      means: Tensor(rows: left.flatMap { a in right.map { [a, $0] } }),
      covariances: Tensor(
        [0.3, 0.2].flatMap { a in [0.25, 0.4].flatMap { [a * a, 0, 0, $0 * $0] } }, shape: [4, 2, 2]))
    let field = GaussianMixtureDenoiser(mixture, on: OrnsteinUhlenbeck())
    let verdict = transportVerdict(
      at: SplitMix(seed: 2).unit([5, 2]), under: field, fisher: ExactFisher(field), from: 1e-13, to: 3)
    #expect(verdict.asymmetry.max().item <= 1e-14)
    #expect(verdict.answer == .optimal)
  }
}
