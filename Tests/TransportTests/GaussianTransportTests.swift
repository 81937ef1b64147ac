import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct GaussianTransportTests {
  private let transport = GaussianTransport(from: Worlds.source, to: Worlds.target)

  @Test("distance and map of the fixture are those of the closed form (Spec: C7.2b.1)") func fixture() {
    #expect(abs(transport.squaredDistance - Worlds.squaredDistance) < 1e-13)
    let expected = Tensor(rows: [[0.8488826776, -0.6246295301], [-0.6246295301, 2.1641879511]])
    #expect(difference(transport.matrix, expected) < 1e-10)
    let reached = transport.matrix.matmul(Worlds.source.covariance).matmul(transport.matrix)
    #expect(difference(reached, Worlds.target.covariance) < 1e-13)
    #expect(difference(transport.matrix, transport.matrix.transposed) < 1e-14)
    #expect(transport.pushforwardError < 1e-14)
    let root = Worlds.root(Worlds.source.covariance)
    let inverse = root.inverse()
    let inner = Worlds.root(root.matmul(Worlds.target.covariance).matmul(root))
    #expect(difference(transport.matrix, inverse.matmul(inner).matmul(inverse)) < 1e-13)
  }

  @Test("the map moves points by the distance in the mean (Spec: C7.2b.2)") func cost() {
    // Four points with the mean and the covariance of the source.
    let factor = Worlds.source.covariance.cholesky()
    let corners = Tensor(rows: [[1, 1], [1, -1], [-1, 1], [-1, -1]]).matmul(factor.transposed)
    let moved = transport(corners) - corners
    #expect(abs(moved.squared().sum(-1).mean().item - Worlds.squaredDistance) < 1e-12)
    expectClose(transport(corners).mean(0), Worlds.target.mean, within: 1e-14)
  }

  @Test("the map solves the equation of Monge and Ampère, and no other map does (Spec: C7.2b.3)") func mongeAmpere() {
    let x = 3 * SplitMix(seed: 2).symmetric([100, 2])
    #expect(transport.mongeAmpereResidual(at: x).abs().max().item < 1e-11)
    // From dense formulas, for a map that misses: to a singular target rounding is all that is left.
    let other = GaussianTransport(from: Worlds.source, to: (Worlds.target.mean, 2 * Worlds.target.covariance))
    #expect(other.mongeAmpereResidual(at: x).abs().max().item < 1e-11)
    expectClose(other.matrix, 2.0.squareRoot() * transport.matrix, within: 1e-14)
  }

  @Test("the map is the gradient of its potential (Spec: C7.2b)") func potential() {
    let x = SplitMix(seed: 3).symmetric([5, 2])
    let step = 1e-3
    let slopes = [Tensor([step, 0]), Tensor([0, step])].map {
      (transport.potential(x + $0) - transport.potential(x - $0)) / (2 * step)
    }
    expectClose(.stacked(slopes, 1), transport(x), within: 1e-11)
  }

  @Test("the way back is the inverse (Spec: C7.2b.4)") func inverse() {
    let back = transport.inverse
    #expect(difference(back.matrix, transport.matrix.inverse()) < 1e-12)
    #expect(abs(back.squaredDistance - transport.squaredDistance) < 1e-13)
    let x = SplitMix(seed: 4).unit([20, 2])
    expectClose(back(transport(x)), x, within: 1e-13)
  }

  @Test("the certificate knows the best map from others with the same ends (Spec: C7.2b.5)") func certificate() {
    let (first, second) = (Worlds.root(Worlds.source.covariance), Worlds.root(Worlds.target.covariance))
    let latent = second.matmul(first.inverse())
    #expect(difference(latent, Tensor(rows: [[0.8566029149, -0.6792796939], [-0.5948814043, 2.1609434649]])) < 1e-10)
    let rectified = GaussianCoupling(from: Worlds.source, to: Worlds.target).rectified().matrix
    let indices = GradientIndices(of: .stacked([transport.matrix, latent, rectified, -transport.matrix]))
    let (asymmetry, least) = (indices.asymmetry.doubles, indices.smallestEigenvalue.doubles)
    #expect(asymmetry[0] < 1e-15 && least[0] > 0)
    #expect(asymmetry[1] > 0.02 && asymmetry[2] > 0.03)
    #expect(asymmetry[3] < 1e-15 && least[3] < 0)
    for matrix in [latent, rectified] {
      #expect(
        difference(matrix.matmul(Worlds.source.covariance).matmul(matrix.transposed), Worlds.target.covariance) < 1e-9)
    }
  }

  @Test("two large samples are as far apart as their laws, within 5 % (Spec: C7.2b.6)", .tags(.slow), .whenAllTestsRun)
  func samples() {
    var generator = Generator(seed: 5)
    func sample(_ law: (mean: Tensor, covariance: Tensor)) -> Tensor {
      law.mean + Tensor.normal([2000, 2], using: &generator).matmul(law.covariance.cholesky().transposed)
    }
    let distance = wassersteinDistance(sample(Worlds.source), sample(Worlds.target))
    #expect(abs(distance * distance / Worlds.squaredDistance - 1) < 0.05)
  }

  @Test("nothing cancels between laws that are near each other (Spec: C7.2b.1)") func nearby() {
    let far = (mean: Worlds.source.mean, covariance: Worlds.source.covariance)
    let scaled = GaussianTransport(from: far, to: (far.mean, (1 + 1e-7) * ((1 + 1e-7) * far.covariance)))
    // (10⁻⁷)² tr Σ₀.
    #expect(abs(scaled.squaredDistance / 2.5e-14 - 1) < 1e-6)
    #expect(GaussianTransport(from: far, to: far).squaredDistance < 1e-29)
  }

  @Test("a law that is nearly flat is reached and left to rounding (Spec: C7.2b.1)", arguments: [1e-6, 1e-9, 1e-12])
  func nearlySingular(_ variance: Double) {
    let turn = Tensor(rows: [[0.6, -0.8], [0.8, 0.6]])
    let flat = (mean: Tensor([1.0, 1]), covariance: (turn * Tensor([1, variance])).matmul(turn.transposed))
    for pair in [(flat, Worlds.target), (Worlds.target, flat)] {
      let transport = GaussianTransport(from: pair.0, to: pair.1)
      // The smallest eigenvalue itself is only known to rounding of the largest.
      #expect(transport.pushforwardError < 1e-15 / variance)
      let (a, b) = (pair.0.covariance, pair.1.covariance)
      // tr (Σ₀^½ Σ₁ Σ₀^½)^½ in two dimensions.
      let product = a.matmul(b)
      let cross = (product.trace.item + 2 * product.determinant().item.squareRoot()).squareRoot()
      let expected = (pair.0.mean - pair.1.mean).squared().sum().item + (a + b).trace.item - 2 * cross
      #expect(abs(transport.squaredDistance / expected - 1) < 1e-7)
    }
  }

  @Test("from a flat law the map is the mean of the best plan, and says that it misses (Spec: C7.2b.1)") func singular()
  {
    let flat = (mean: Tensor([0.0, 0]), covariance: Tensor(rows: [[1, 0], [0, 0]]))
    let transport = GaussianTransport(from: flat, to: Worlds.target)
    // E[y | x₁]: all of y that y₁, in order with x₁, tells.
    expectClose(transport.matrix[Axis.all, 0], Tensor([1, -0.4]), within: 1e-14)
    #expect(abs(transport.squaredDistance - (10 + 1 + 2.5 - 2)) < 1e-13)
    let missing = 1.5 - 0.4 * 0.4
    #expect(abs(transport.pushforwardError - missing / Worlds.target.covariance.norm().item) < 1e-13)
    #expect(transport.inverse.pushforwardError < 1e-14)
    // Flat in a direction that is no axis, where rounding leaves the smallest eigenvalue anything but zero.
    for angle in [0.3, 0.7, 1.1, 1.9, 2.6] {
      let along = Tensor([cos(angle), sin(angle)])
      let line = (mean: Tensor([0.0, 0]), covariance: along.expanded(at: 1) * along)
      let image = Worlds.target.covariance.matmul(along)
      let matrix = image.expanded(at: 1) * image / along.dot(image).pow(1.5)
      expectClose(GaussianTransport(from: line, to: Worlds.target).matrix, matrix, within: 1e-13)
    }
    let point = GaussianTransport(
      from: (Tensor([0.0, 0]), .zeros([2, 2])), to: (Tensor([3.0, 4]), .zeros([2, 2])))
    #expect(point.squaredDistance == 25 && point.pushforwardError == 0)
  }

  @Test("in many dimensions the map is still exact (Spec: C7.2b.1)") func manyDimensions() {
    func law(_ seed: Int) -> (mean: Tensor, covariance: Tensor) {
      let factor = SplitMix(seed: seed).symmetric([40, 40])
      return (SplitMix(seed: seed + 1).symmetric([40]), factor.matmul(factor.transposed) + 0.01 * .identity(40))
    }
    let transport = GaussianTransport(from: law(10), to: law(20))
    #expect(transport.pushforwardError < 1e-11)
    let indices = GradientIndices(of: transport.matrix.expanded(at: 0))
    #expect(indices.asymmetry.item < 1e-15 && indices.smallestEigenvalue.item > 0)
  }

  @Test("an indefinite covariance stops with its eigenvalue") func indefinite() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let law = (mean: Tensor([0.0, 0]), covariance: Tensor(rows: [[1, 0], [0, -1]]))
      _ = GaussianTransport(from: law, to: law)
    }
    expectWords("GaussianTransport([2], [2, 2]): the covariance has the eigenvalue -1.0", result)
  }
}

@Suite struct GaussianDisplacementTests {
  private let transport = GaussianTransport(from: Worlds.source, to: Worlds.target)
  private var path: GaussianDisplacement { GaussianDisplacement(transport) }

  @Test("half way the law is the table's, and the ends are the ends (Spec: C7.2c.1)") func law() {
    let half = path.law(at: 0.5)
    #expect(
      difference(half.covariance, Tensor(rows: [[1.4114938186, 0.111567138], [0.111567138, 0.8536581287]])) < 1e-10)
    expectClose(half.mean, Tensor([1.5, -0.5]), within: 0)
    #expect(difference(path.law(at: 0).covariance, Worlds.source.covariance) < 1e-14)
    #expect(difference(path.law(at: 1).covariance, Worlds.target.covariance) < 1e-13)
    #expect(difference(path.law(at: 1).mean, Worlds.target.mean) == 0)
  }

  @Test("the law moves as its field says, and the field is a gradient (Spec: C7.2c.2)", arguments: [0.1, 0.5, 0.9])
  func continuity(_ t: Double) {
    let (step, turn) = (1e-3, path.jacobian(at: t))
    let rate = (path.law(at: t + step).covariance - path.law(at: t - step).covariance) / (2 * step)
    let covariance = path.law(at: t).covariance
    #expect(difference(rate, turn.matmul(covariance) + covariance.matmul(turn.transposed)) < 1e-9)
    #expect(difference(turn, turn.transposed) < 1e-14)
    let direct = transport.matrix - .identity(2)
    #expect(difference(turn, direct.matmul((.identity(2) + t * direct).inverse())) < 1e-13)
  }

  @Test("the action is the squared distance at every time (Spec: C7.2c.3)", arguments: [0, 0.3, 0.7, 1])
  func action(_ t: Double) {
    #expect(abs(path.action(at: t) - Worlds.squaredDistance) < 1e-12)
  }

  @Test("a turn that leaves the laws as they are adds its own action (Spec: C7.2c.4)", arguments: [0.2, 0.8])
  func minimality(_ t: Double) {
    let covariance = path.law(at: t).covariance
    let turn = path.jacobian(at: t)
    let idle = Tensor(rows: [[0, 0.7], [-0.7, 0]]).matmul(covariance.inverse())
    func rate(_ field: Tensor) -> Tensor { field.matmul(covariance) + covariance.matmul(field.transposed) }
    func action(_ field: Tensor) -> Double { field.matmul(covariance).matmul(field.transposed).trace.item }
    #expect(difference(rate(turn + idle), rate(turn)) < 1e-14)
    #expect(abs(turn.matmul(covariance).matmul(idle.transposed).trace.item) < 1e-12)
    #expect(abs(action(turn + idle) - action(turn) - action(idle)) < 1e-12 && action(idle) > 0.1)
  }

  @Test("the flow goes straight to where the map points (Spec: C7.2c.5)") func straight() {
    let grid = TimeGrid((0...50).map { Double($0) / 50 })
    let ends = transport(Worlds.starts)
    for point in Trajectory(from: Worlds.starts, along: grid, with: .rk4, in: path) {
      let chord = Worlds.starts + point.time * (ends - Worlds.starts)
      #expect(difference(point.state, chord) < 1e-9)
      #expect(difference(point.state, path.displaced(Worlds.starts, at: point.time)) < 1e-9)
    }
  }

  @Test("densities along the way are the first one's, stretched (Spec: C7.2c.6)", arguments: [0, 0.25, 0.5, 0.75, 1])
  func densities(_ t: Double) throws {
    func logDensity(_ x: Tensor, _ law: (mean: Tensor, covariance: Tensor)) -> Tensor {
      let whitened = law.covariance.cholesky().solveTriangular((x - law.mean).transposed, upper: false)
      return -0.5 * whitened.squared().sum(0) - 0.5 * law.covariance.logDeterminant().logMagnitude
    }
    let stretch = Tensor.identity(2) + t * (transport.matrix - .identity(2))
    let there = logDensity(path.displaced(Worlds.starts, at: t), path.law(at: t))
    expectClose(there + stretch.logDeterminant().logMagnitude, logDensity(Worlds.starts, Worlds.source), within: 1e-12)
  }
}
