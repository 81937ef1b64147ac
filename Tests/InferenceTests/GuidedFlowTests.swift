import RealModule
import Scorefield
import ScorefieldTestSupport
import Testing

/// What the flow of a guided score samples.
@Suite struct GuidedFlowTests {
  private struct Fine: NoiseSchedule {
    let timeRange: ClosedRange<Double> = 1e-9...100
    func alpha<S: Elementary>(_ t: S) -> S { 1 }
    func sigma<S: Elementary>(_ t: S) -> S { t }
  }

  /// By weight: the guided mean and variance from 80, and those of the tilted density.
  static let rows: [(weight: Double, mean: Double, variance: Double, tilted: (Double, Double))] = [
    (0, 0, 0.999843774, (0, 1)), (0.5, 0.276089889, 0.707023927, (1.0 / 3, 2.0 / 3)),
    (1, 0.495580755, 0.499960941, (0.5, 0.5)), (2, 0.805362783, 0.249999998, (2.0 / 3, 1.0 / 3)),
    (3, 0.993370960, 0.125009764, (0.75, 0.25)), (5, 1.161142323, 0.031257324, (5.0 / 6, 1.0 / 6)),
  ]

  @Test(
    "(Spec: C8.1c, C8.3.4) the guided flow of two Gaussians has the geometric variance, not the tilted density's",
    arguments: rows.indices)
  func law(_ index: Int) throws {
    let row = Self.rows[index]
    func normal(_ mean: Double, _ variance: Double) throws -> GaussianMixtureDenoiser {
      GaussianMixtureDenoiser(
        try GaussianMixture(
          means: Tensor([mean], shape: [1, 1]), standardDeviations: Tensor([variance.squareRoot()])), on: Fine())
    }
    let guided = ClassifierFreeGuidance(try normal(0.5, 0.5), over: try normal(0, 1), scale: row.weight)
    let grid = TimeGrid.uniformHalfLogSNR(200, over: Fine(), from: 80, to: 1e-4)
    // The map is affine: two starts say all of it.
    let ends = integrate(Tensor([0.0, 80], shape: [2, 1]), along: grid, with: .dpmSolver3, in: guided).doubles
    let (mean, variance) = (ends[0], (ends[1] - ends[0]) * (ends[1] - ends[0]))
    #expect(abs(mean - row.mean) < 1e-5 && abs(variance - row.variance) < 1e-5, "\(mean) \(variance)")
    // Tilted: precisions add, and so do means weighted by them.
    let precision = row.weight / 0.5 + 1 - row.weight
    #expect(abs(1 / precision - row.tilted.1) < 1e-12 && abs(row.weight * 0.5 / 0.5 / precision - row.tilted.0) < 1e-12)
    if row.weight > 1 { #expect(variance < 0.8 * row.tilted.1) }
  }

  /// By weight: what `∂ₜp̃ + ∇·(p̃ ṽ)` is in units of `p̃` at three points, and what the formula as printed makes of it.
  static let residuals: [(weight: Double, values: [Double], printed: [Double])] = [
    (1, [0, 0, 0], [-0.0302, -0.9286, -0.1168]),
    (2, [0.404264, -8.223858, -15.623282], [0.343897, -10.081044, -15.856978]),
  ]

  @Test(
    "(Spec: C8.1c, E5) the guided flow does not carry the tilted densities, by the residual's corrected formula",
    arguments: residuals.indices)
  func residual(_ index: Int) throws {
    let row = Self.residuals[index]
    let schedule = VariancePreserving(betaMin: 2, betaMax: 2)
    let (means, deviations) = (Tensor(rows: [[-1], [1.5]]), Tensor([0.3, 0.2]).sqrt())
    let whole = GaussianMixtureDenoiser(
      try GaussianMixture(weights: Tensor([0.4, 0.6]), means: means, standardDeviations: deviations), on: schedule)
    let first = GaussianMixtureDenoiser(
      try GaussianMixture(means: means[0..<1], standardDeviations: deviations[0..<1]), on: schedule)
    let classify: @Sendable (Tensor, Double) -> Tensor = { x, t in
      first.posterior(x, at: t).logDensity - whole.posterior(x, at: t).logDensity + Double.log(0.4)
    }
    let flow = ProbabilityFlow(ScoreGuidance(whole, scale: row.weight, by: classify))
    // The mass of the tilted density, by the trapezoid rule, which is exact here to rounding.
    let line = Tensor((0...4000).map { -12 + 0.006 * Double($0) }, shape: [4001, 1])
    func unnormalised(_ x: Tensor, _ t: Double) -> Tensor {
      whole.posterior(x, at: t).logDensity + row.weight * classify(x, t)
    }
    func density(_ x: Tensor, _ t: Double) -> Tensor {
      unnormalised(x, t).exp() / (0.006 * unnormalised(line, t).exp().sum().item)
    }
    let (x, t, h) = (Tensor(rows: [[-0.5], [0.3], [1]]), 0.3, 1e-4)
    func current(_ x: Tensor) -> Tensor { density(x, t) * flow.velocity(x, at: t).squeezed(1) }
    /// A central difference of fourth order.
    func slope(_ f: (Double) -> Tensor) -> Tensor {
      (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)
    }
    let found = (slope { density(x, t + $0) } + slope { current(x + $0) }) / density(x, t)
    let truth = Tensor(row.values)
    #expect((found - truth).abs().max().item < 2e-5, "\(found.doubles)")

    // The formula: ∂ₜ log h + f·∇ log h − g² ∇ log p · ∇ log h − ½ g² (Δ log h + |∇ log h|²) − Z′/Z.
    func weight(_ x: Tensor, _ t: Double) -> Tensor { row.weight * classify(x, t) }
    let gradient = slope { weight(x + $0, t) }
    // Second differences of first ones: of a step they can stand.
    let step = 1e-3
    let curvature = (weight(x + step, t) - 2 * weight(x, t) + weight(x - step, t)) / (step * step)
    let mass = slope { Tensor([Double.log(0.006 * unnormalised(line, t + $0).exp().sum().item)]) }
    let score = whole.score(x, at: t).squeezed(1)
    let formula =
      slope { weight(x, t + $0) } - x.squeezed(1) * gradient - 2 * score * gradient
      - (curvature + gradient.squared()) - mass
    #expect((formula - truth).abs().max().item < 2e-5, "\(formula.doubles)")
    // The printed one lacks −½ g² ∇ log p · ∇ log h.
    #expect((formula + score * gradient - Tensor(row.printed)).abs().max().item < 6e-5)
  }

  private func three() throws -> (whole: GaussianMixtureDenoiser, first: GaussianMixtureDenoiser) {
    let covariances = Tensor([0.3, 0.1, 0.1, 0.2, 0.2, -0.05, -0.05, 0.4, 0.25, 0, 0, 0.15], shape: [3, 2, 2])
    let means = Tensor(rows: [[2, 0], [-1, 1.5], [-0.5, -2]])
    return (
      GaussianMixtureDenoiser(
        try GaussianMixture(weights: Tensor([0.5, 0.3, 0.2]), means: means, covariances: covariances),
        on: .variancePreserving),
      GaussianMixtureDenoiser(
        try GaussianMixture(means: means[0..<1], covariances: covariances[0..<1]), on: .variancePreserving)
    )
  }

  static let moments: [(weight: Double, mean: [Double], covariance: [Double])] = [
    (1, [1.951370736656, -0.003230386217], [0.296106757663, 0.089635656466, 0.206471101198]),
    (4, [2.670457372677, 0.129299652858], [0.110185284929, 0.043848448907, 0.118315390194]),
    (7.5, [3.104020244573, 0.213097467355], [0.080127102875, 0.034510473264, 0.100044530613]),
  ]

  @Test(
    "(Spec: C8.3.5) guided samples of three components have the moments of the exact guided flow",
    arguments: moments.indices)
  func mixture(_ index: Int) throws {
    let row = Self.moments[index]
    let (whole, first) = try three()
    let guided = ClassifierFreeGuidance(first, over: whole, scale: row.weight)
    // A cloud of normal quantiles.
    func quantile(_ p: Double) -> Double {
      var (low, high) = (-10.0, 10.0)
      for _ in 0..<200 {
        let middle = (low + high) / 2
        if 0.5 * Double.erfc(-middle / 2.0.squareRoot()) < p { low = middle } else { high = middle }
      }
      return (low + high) / 2
    }
    let line = (0..<16).map { quantile((Double($0) + 0.5) / 16) }
    let sigma = NamedSchedule.named("vp").kernel(at: 0.9).sigma
    let start = sigma * Tensor(line.flatMap { a in line.flatMap { [a, $0] } }, shape: [256, 2])
    let end = integrate(
      start, from: 0.9, to: 0.05, with: .dormandPrince,
      controller: StepController(rtol: 1e-10, atol: 1e-12), in: ProbabilityFlow(guided)
    ).state
    let centred = end - end.mean(0)
    let covariance = centred.transposed.matmul(centred) / 256
    expectClose(end.mean(0), Tensor(row.mean), within: 1e-6)
    expectClose(
      Tensor([covariance[0, 0].item, covariance[0, 1].item, covariance[1, 1].item]), Tensor(row.covariance),
      within: 1e-6)
  }

  @Test("(Spec: C8.3.6, C8.2.4) a guided step asks two denoisers, and a sample's guidance does not know the others")
  func costs() throws {
    let (whole, first) = try three()
    let (a, b) = (EvaluationCounter(), EvaluationCounter())
    let guided = ClassifierFreeGuidance(
      CountedDenoiser(first, counter: a), over: CountedDenoiser(whole, counter: b), scale: 3)
    let grid = TimeGrid.uniformHalfLogSNR(10, over: .variancePreserving, from: 0.9, to: 0.05)
    let start = SplitMix(seed: 1).unit([5, 2])
    let together = integrate(start, along: grid, with: .ddim, in: guided)
    #expect(a.count == 10 && b.count == 10)
    let classified = ScoreGuidance(whole, scale: 3) { x, t in
      first.posterior(x, at: t).logDensity - whole.posterior(x, at: t).logDensity
    }
    for row in 0..<5 {
      let alone = integrate(start[row..<(row + 1)], along: grid, with: .ddim, in: classified)
      expectClose(together[row..<(row + 1)], alone, within: 1e-9)
    }
  }
}
