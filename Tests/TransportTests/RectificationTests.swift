import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct PathEnergyTests {
  private let independent = GaussianCoupling(from: Worlds.source, to: Worlds.target)

  @Test("lines between independent ends cost more than the distance (Spec: C7.5b.1)") func lines() {
    #expect(abs(independent.cost - 15) < 1e-14)
    let transport = GaussianTransport(from: Worlds.source, to: Worlds.target)
    let best = GaussianCoupling(
      from: Worlds.source, to: Worlds.target, crossCovariance: Worlds.source.covariance.matmul(transport.matrix))
    #expect(abs(best.cost - Worlds.squaredDistance) < 1e-12)
  }

  /// All pairs of the corners of a square: independent ends of mean 0 and variance 1.
  private var corners: (x0: Tensor, x1: Tensor) {
    let corners = Tensor(rows: [[1, 1], [1, -1], [-1, 1], [-1, -1]])
    return (corners.repeated(4, 0), corners.tiled(4, 1))
  }

  @Test("a curved path costs more than a line, though no more than it bends (Spec: C7.5b.2)") func trigonometric() {
    let (x0, x1) = corners
    #expect(abs(pathEnergy { _ in x1 - x0 } - 4) < 1e-13)
    let curved = pathEnergy { t in
      (Double.pi / 2) * (cos(Double.pi * t / 2) * x1 - sin(Double.pi * t / 2) * x0)
    }
    #expect(abs(curved - 4.934802200544679) < 1e-13)
    #expect(abs(curved - Double.pi * Double.pi / 8 * 4) < 1e-13)
  }

  @Test("the energy of a path with dependent ends has a term of their product (Spec: C7.5b.2)") func dependent() {
    let x0 = SplitMix(seed: 1).unit([9, 3])
    let x1 = 0.5 * x0 + SplitMix(seed: 2).unit([9, 3]) + 1
    let curved = pathEnergy { t in
      (Double.pi / 2) * (cos(Double.pi * t / 2) * x1 - sin(Double.pi * t / 2) * x0)
    }
    func mean(_ products: Tensor) -> Double { products.sum().item / 9 }
    let expected =
      Double.pi * Double.pi / 8 * (mean(x0.squared()) + mean(x1.squared())) - Double.pi / 2 * mean(x0 * x1)
    #expect(abs(curved / expected - 1) < 1e-13)
  }

  @Test("a detour adds exactly its own energy to a line's (Spec: C7.5b.3)") func detours() {
    let (x0, x1) = corners
    for seed in 0..<50 {
      let detour = SplitMix(seed: 300 + seed).symmetric([16, 2])
      let turns = Double.pi * Double(1 + seed % 5)
      let energy = pathEnergy { t in x1 - x0 + (turns * cos(turns * t)) * detour }
      let own = turns * turns / 2 * detour.squared().sum().item / 16
      #expect(abs(energy - 4 - own) < 1e-11 * energy)
    }
  }

  @Test("the averaged flow spends less than the lines, and no less than the distance (Spec: C7.5b.4)") func averaged() {
    #expect(independent.action < independent.cost && independent.action > Worlds.squaredDistance)
    #expect(abs(independent.loss - (independent.cost - independent.action)) < 1e-14)
    let law = (mean: Tensor([0.0]), covariance: Tensor(rows: [[1]]))
    // ∫ (2t − 1)²/((1 − t)² + t²) dt = 2 − π/2.
    #expect(abs(GaussianCoupling(from: law, to: law).action - (2 - Double.pi / 2)) < 1e-13)
  }
}

@Suite struct RectificationTests {
  private let independent = GaussianCoupling(from: Worlds.source, to: Worlds.target)

  private func asymmetry(_ matrix: Tensor) -> Double {
    GradientIndices(of: matrix.expanded(at: 0)).asymmetry.item
  }

  /// `(Σ₁ Σ₀⁻¹)^½`.
  private var closedMap: Tensor {
    let root = Worlds.root(Worlds.source.covariance)
    let inverse = root.inverse()
    return root.matmul(Worlds.root(inverse.matmul(Worlds.target.covariance).matmul(inverse))).matmul(inverse)
  }

  @Test("independent ends are rectified by the root of the covariances' quotient (Spec: C7.5c.1)") func quotient() {
    let (closed, target) = (closedMap, Worlds.target.covariance)
    #expect(difference(closed.matmul(Worlds.source.covariance).matmul(closed.transposed), target) < 1e-13)
    #expect(difference(closed.matmul(closed), target.matmul(Worlds.source.covariance.inverse())) < 1e-12)

    let found = independent.rectified().matrix
    #expect(difference(found, Tensor(rows: [[0.8623602297, -0.7246433404], [-0.5693626246, 2.1563661947]])) < 1e-10)
    #expect(difference(found, closed) < 1e-10)
  }

  @Test("the map's error falls with the fourth power of the steps (Spec: C7.5c.1)") func order() {
    let errors = [64, 128, 256].map { steps in
      (steps: steps, error: difference(independent.rectified(steps: steps).matrix, closedMap))
    }
    #expect(abs(observedOrder(errors) - 4) < 0.2, "\(errors)")
  }

  @Test("the field is the mean velocity of the lines, whatever the coupling (Spec: C7.5c)") func velocity() {
    let cross = Tensor(rows: [[0.3, -0.2], [0.1, 0.25]])
    let coupling = GaussianCoupling(from: Worlds.source, to: Worlds.target, crossCovariance: cross)
    for t in [0, 0.3, 0.8, 1] {
      // The joint law of x_t and x₁ − x₀ by its blocks, as maps of (x₀, x₁).
      let joint = Tensor.concatenated([
        .concatenated([Worlds.source.covariance, cross], 1),
        .concatenated([cross.transposed, Worlds.target.covariance], 1),
      ])
      let one = Tensor.identity(2)
      let (here, velocity) = (Tensor.concatenated([(1 - t) * one, t * one], 1), Tensor.concatenated([-one, one], 1))
      let covariance = here.matmul(joint).matmul(here.transposed)
      let slope = velocity.matmul(joint).matmul(here.transposed).matmul(covariance.inverse())
      #expect(difference(coupling.law(at: t).covariance, covariance) < 1e-14)
      #expect(difference(coupling.jacobian(at: t), slope) < 1e-13)
      let expected = Tensor([3.0, -1]) + (Worlds.starts - t * Tensor([3.0, -1])).matmul(slope.transposed)
      #expect(difference(coupling.velocity(Worlds.starts, at: t), expected) < 1e-13)

      // The gradient field moves the law alike.
      let (turn, other) = (coupling.gradientJacobian(at: t), coupling.jacobian(at: t))
      func rate(_ field: Tensor) -> Tensor { field.matmul(covariance) + covariance.matmul(field.transposed) }
      #expect(difference(rate(turn), rate(other)) < 1e-12 && difference(turn, turn.transposed) < 1e-14)
    }
  }

  @Test("rectifying lowers the cost, not to the distance (Spec: C7.5c.2)") func costs() {
    let rectified = independent.rectified()
    #expect(abs(rectified.coupling.cost - 10.947000044412) < 1e-10)
    // The specification's .869781585 is the trapezoid rule with 2,000 steps.
    #expect(abs(rectified.straightness - 0.869781234219) < 1e-10)
    #expect(rectified.coupling.cost > Worlds.squaredDistance + 0.007)
    #expect(abs(independent.loss - (15 - rectified.straightness - rectified.coupling.cost)) < 1e-12)
  }

  @Test("rectified twice, the map stays: no loss, straight, and still not the best (Spec: C7.5c.3)") func twice() {
    let once = independent.rectified()
    let twice = once.coupling.rectified()
    #expect(difference(once.matrix, twice.matrix) < 1e-9)
    #expect(abs(once.coupling.loss) < 1e-10 && abs(twice.straightness) < 1e-9)
    #expect(asymmetry(twice.matrix) > 0.03 && twice.coupling.cost > Worlds.squaredDistance + 0.007)
  }

  @Test("a rotation is straight and costs, where the best map rests (Spec: C7.5c.4)") func rotation() {
    let law = (mean: Tensor([0.0, 0]), covariance: Tensor.identity(2))
    let (c, s) = (0.5, 0.75.squareRoot())
    let turn = Tensor(rows: [[c, -s], [s, c]])
    let coupling = GaussianCoupling(from: law, to: law, crossCovariance: turn.transposed)
    #expect(abs(coupling.cost - 4 * (1 - c)) < 1e-14 && abs(coupling.loss) < 1e-12)
    let rectified = coupling.rectified()
    #expect(difference(rectified.matrix, turn) < 1e-10 && abs(rectified.straightness) < 1e-10)
    #expect(GaussianTransport(from: law, to: law).squaredDistance < 1e-29)
    // Gradients undo it at once.
    #expect(difference(coupling.gradientRectified().matrix, .identity(2)) < 1e-10)
  }

  @Test("with gradients the costs fall to the distance (Spec: C7.5c.5)") func gradients() {
    var (coupling, asymmetries) = (independent, [Double]())
    for cost in [10.939526664578, 10.939394584202, 10.939392252687] {
      let rectified = coupling.gradientRectified()
      #expect(abs(rectified.coupling.cost - cost) < 1e-10)
      asymmetries.append(asymmetry(rectified.matrix))
      coupling = rectified.coupling
    }
    for (before, after) in zip(asymmetries, asymmetries.dropFirst()) {
      #expect(before / after > 6.5 && before / after < 8.5, "\(asymmetries)")
    }
  }

  @Test("where supports never meet, gradients do not find the best pairing (Spec: C7.5c.6)") func discs() {
    let disc = Tensor(
      rows: (0..<20).map { index in
        let (angle, radius) = (Double(index), Double(index % 4) / 30)
        return [radius * cos(angle), radius * sin(angle)]
      })
    let (a1, a2, b1, b2) = (Tensor([1.0, 0]), Tensor([0.0, 0]), Tensor([2, 2.0]), Tensor([1.5, 2.5]))
    let (x, y) = (Tensor.concatenated([a1 + disc, a2 + disc]), Tensor.concatenated([b2 + disc, b1 + disc]))
    for t in (0...100).map({ Double($0) / 100 }) {
      let place = (1 - t) * x + t * y
      // Either disc moves as one, and never touches the other: the field is constant on each, a gradient, and exact.
      let distances = place[..<20].distances(to: place[20...])
      #expect(distances.min().item > 0.1.squareRoot() - 0.2 - 1e-12)
    }
    let best = optimalAssignment(squaredCost(x, y))
    let cost: Double = (y - x).squared().sum(-1).mean().item
    #expect(abs(cost - best.value - 0.5) < 1e-12 && abs(best.value - 6.75) < 1e-12)
  }

  @Test("convex costs do not rise when samples are rectified (Spec: C7.5c.7)", arguments: [1.0, 2, 4]) func convex(
    _ power: Double
  ) throws {
    let field = GaussianMixtureDenoiser(try Worlds.crossed(), on: .flowMatching)
    var generator = Generator(seed: 11)
    let noise = Tensor.normal([2000, 2], using: &generator)
    let grid = TimeGrid((0...40).map { 0.9999 - 0.9989 * Double($0) / 40 })
    let data = field.denoise(integrate(noise, along: grid, with: .rk4, in: ProbabilityFlow(field)), at: 0.001)
    func costs(_ ends: Tensor) -> Tensor { (ends - noise).norm(-1).pow(power) }
    let change = costs(data) - costs(data.rolled(by: 1, 0))
    let error = (change.variance() / 2000).sqrt().item
    #expect(change.mean().item < 4 * error)
    #expect(change.mean().item < -4 * error, "rectified lines are in fact much shorter")
  }
}
