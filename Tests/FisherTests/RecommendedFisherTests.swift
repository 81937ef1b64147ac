import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// What answers without a gradient, at which noise, and how well.
@Suite struct RecommendedFisherTests {
  /// Points on a grid of spacing 1 in the plane, 40 × 40.
  private static let grid = Tensor.stacked(
    [Tensor((0..<1600).map { Double($0 / 40) }), Tensor((0..<1600).map { Double($0 % 40) })], 1)

  private func packaged() throws -> Tensor {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Data").standardized
    return GreyLevels(17).scaled(Tensor(try NPY.read(folder.appending(path: "digits.npy").path))).flattened
  }

  @Test("Spec: F5 F8 of the data themselves it picks by the noise in units of their spacing and spread, and says what")
  func choices() {
    for schedule in [VariancePreserving() as any NoiseSchedule, EDMSchedule()] {
      let access = RecommendedFisher(data: Self.grid, of: .points, on: schedule)
      #expect(abs(access.spacing - 1) < 1e-12)
      // Twice the variance of 0…39.
      let spread = (2 * (1600.0 - 1) / 12).squareRoot()
      #expect(abs(access.spread - spread) < 1e-9)
      for (ratio, choice) in [
        (0.16, RecommendedFisher.Choice.null), (0.17, .retrieval(128)), (0.49, .retrieval(128)),
        (0.51, .retrieval(512)), (0.69 * spread, .retrieval(512)), (0.71 * spread, .gaussian),
      ] {
        let t = schedule.time(atNoiseToSignal: ratio)
        #expect(access.choice(at: t) == choice, "\(ratio)")
        #expect(access.fisher(at: Self.grid[..<2], time: t).choice == choice)
      }
    }
    #expect("\(RecommendedFisher.Choice.retrieval(128))" == "retrieval:128")
    #expect("\(RecommendedFisher.Choice.forwardDifference)" == "finite-difference")
  }

  @Test("Spec: F5 F8 of a density it is the data's normal distribution at any noise, and without data differences")
  func others() {
    let density = RecommendedFisher(data: Self.grid, on: .edm)
    let model = RecommendedFisher(EmpiricalDenoiser(data: Self.grid, on: .edm))
    for t in [1e-3, 0.3, 1, 80] {
      #expect(density.choice(at: t) == .gaussian && model.choice(at: t) == .forwardDifference)
    }
    // A single point: the baseline, wherever.
    let single = RecommendedFisher(data: Self.grid[5..<6], of: .points, on: .edm)
    #expect(single.choice(at: 50) == .null)
    // Fewer points than it would keep.
    #expect(RecommendedFisher(data: Self.grid[..<40], of: .points, on: .edm).choice(at: 0.4) == .retrieval(40))
  }

  @Test("Spec: F5 its product is that of the access it names, in the type of the points")
  func products() {
    let (x, v) = (Self.grid[..<6] + 0.1, SplitMix(seed: 71).unit([6, 2]))
    let field = EmpiricalDenoiser(data: Self.grid, on: .edm)
    let points = RecommendedFisher(data: Self.grid, of: .points, on: .edm)
    func check(_ access: RecommendedFisher, _ t: Double, _ expected: Tensor) {
      let fisher = access.fisher(at: x, time: t)
      #expect(fisher.matvec(v).isIdentical(to: expected), "\(fisher.choice)")
      expectClose(fisher.matvecs(.stacked([v, x])).selecting(Tensor([0])).squeezed(0), expected, within: 1e-8)
    }
    check(points, 0.1, NullFisher(on: .edm).fisher(at: x, time: 0.1).matvec(v))
    check(points, 0.4, RetrievalFisher(Self.grid, nearest: 128, on: .edm).fisher(at: x, time: 0.4).matvec(v))
    check(points, 2, RetrievalFisher(Self.grid, nearest: 512, on: .edm).fisher(at: x, time: 2).matvec(v))
    check(points, 60, GaussianFisher(data: Self.grid, on: .edm).fisher(at: x, time: 60).matvec(v))
    check(RecommendedFisher(field), 2, FiniteDifferenceFisher(field).fisher(at: x, time: 2).matvec(v))
    // Data in another type than the states.
    let short = RecommendedFisher(data: Self.grid.to(.float32), on: .edm).fisher(at: x, time: 60).matvec(v)
    #expect(short.elementType == .float64)
    expectClose(short, points.fisher(at: x, time: 60).matvec(v), within: 1e-5)
  }

  @Test("Spec: F5 F8 on digits it is nowhere farther from the exact Fisher than the baseline, and within 6 % of it")
  func digits() throws {
    let data = try packaged()
    let access = RecommendedFisher(data: data, of: .points, on: .edm)
    let exact = ExactFisher(EmpiricalDenoiser(data: data, on: .edm))
    var generator = Generator(seed: 7)
    for t in [0.1, 0.25, 0.5, 0.7, 1, 1.5, 3, 10] {
      let x = data[..<60] + t * Tensor.normal([60, 64], using: &generator)
      let v = Tensor.normal([60, 64], using: &generator)
      let truth = exact.fisher(at: x, time: t).matvec(v)
      func error(_ product: Tensor) -> Double { ((product - truth).norm(-1) / truth.norm(-1)).mean().item }
      let own = error(access.fisher(at: x, time: t).matvec(v))
      #expect(own <= 1.001 * error(NullFisher(on: .edm).fisher(at: x, time: t).matvec(v)) && own < 0.06, "\(t): \(own)")
    }
  }

  @Test("Spec: F5 for the density behind the data it is nearer than the baseline, the printed and the centred form")
  func density() throws {
    // The clusters overlap: narrow against their distance, the baseline is as near at some noise levels.
    let means = SplitMix(seed: 72).symmetric([5, 16])
    let mixture = try GaussianMixture(means: means, standardDeviations: .full([5], 0.4))
    var generator = Generator(seed: 8)
    let access = RecommendedFisher(data: mixture.sample(800, using: &generator), on: .edm)
    let field = GaussianMixtureDenoiser(mixture, on: .edm)
    for t in [0.1, 0.3, 1, 3, 10] {
      let draws = mixture.sample(100, using: &generator)
      let x = draws + t * Tensor.normal([100, 16], using: &generator)
      let v = Tensor.normal([100, 16], using: &generator)
      let truth = ExactFisher(field).fisher(at: x, time: t).matvec(v)
      func error(_ fisher: some FisherMatvec) -> Double { (fisher.matvec(v) - truth).norm().item }
      let own = error(access.fisher(at: x, time: t))
      #expect(own < error(NullFisher(on: .edm).fisher(at: x, time: t)), "\(t)")
      for form in [EndpointFisher.Form.printed, .centred] {
        #expect(own < error(EndpointFisher(field, endpoint: draws, form: form).fisher(at: x, time: t)), "\(t) \(form)")
      }
    }
  }

  @Test("beside a network its differences answer near the data, and the normal distribution elsewhere")
  func beside() {
    let field = EmpiricalDenoiser(data: Self.grid, on: .edm)
    let access = RecommendedFisher(data: Self.grid, on: .edm, beside: field)
    let rows = Self.grid.flattened
    let spread = (rows - rows.mean(0)).squared().sum(-1).mean().item.squareRoot()
    #expect(access.choice(at: 0.0699 * spread) == .forwardDifference && access.choice(at: 0.0701 * spread) == .gaussian)
    #expect(RecommendedFisher(data: Self.grid, on: .edm).choice(at: 0.01 * spread) == .gaussian)
    let (x, v) = (
      SplitMix(seed: 8).symmetric([3] + Self.grid.shape.dropFirst()),
      SplitMix(seed: 9).unit([3] + Self.grid.shape.dropFirst())
    )
    let near = 0.04 * spread
    let found = access.fisher(at: x, time: near)
    #expect(found.choice == .forwardDifference)
    #expect(found.matvec(v).isIdentical(to: FiniteDifferenceFisher(field).fisher(at: x, time: near).matvec(v)))
  }
}
