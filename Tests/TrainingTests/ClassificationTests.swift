import Scorefield
import ScorefieldTestSupport
import Testing

/// Classifiers of noisy states, against posteriors that are known.
@Suite struct ClassificationTests {
  /// Nothing but the point: what reads it is a logistic regression.
  private struct Identity: Network {
    let featureWidth = 1
    mutating func visit(_ visitor: inout ParameterVisitor) {}
    func features(_ x: Tensor, noise: Tensor, condition: Tensor?) -> Tensor { x.flattened }
    func output(of features: Tensor, like x: Tensor) -> Tensor { features }
  }

  private struct OneTime: TimeDistribution {
    let t: Double
    func time(atQuantile u: Double) -> Double { t }
    func density(at t: Double) -> Double { 0 }
  }

  @Test("(Spec: C8.2.2) of two normal distributions the trained classifier has the known slope, intercept and entropy")
  func logistic() throws {
    let (m, v, t) = ([0.2, 1.8], 0.5, 0.35)
    let kernel = VariancePreserving().kernel(at: t)
    var generator = Generator(seed: 4)
    let count = 100_000
    let classes = Tensor.randomIntegers([count], in: 0..<2, using: &generator)
    let data =
      (m[0] + (m[1] - m[0]) * classes.to(.float64)
      + v.squareRoot() * Tensor.normal([count], using: &generator)).to(.float32).expanded(at: 1)
    let batch = TrainingBatch(data, condition: classes.oneHot(2).to(.float32))
    let model = NoisyClassifier(
      Identity(), classes: 2, sigmaData: 1, on: VariancePreserving(), using: &generator)
    let objective = ClassificationObjective(times: OneTime(t: t))
    let steps = 80
    var run = TrainingRun(
      model, objective, settings: TrainingSettings(learningRate: .cosine(peak: 0.2, steps: steps, warmup: 5)),
      averaging: ExponentialMovingAverage(of: model.parameters, decay: 0.9), generator: generator)
    for _ in 0..<steps { _ = run.advance(on: batch) }
    let found = run.averagedModel
    // The log odds at two points say the line.
    let odds = { (x: Double) -> Double in
      let all = found.logProbabilities(Tensor([x], shape: [1, 1]), at: t)[0]
      return all[1].item - all[0].item
    }
    let spread = kernel.alpha * kernel.alpha * v + kernel.sigma * kernel.sigma
    let slope = kernel.alpha * (m[1] - m[0]) / spread
    let intercept = -kernel.alpha * kernel.alpha * (m[1] * m[1] - m[0] * m[0]) / (2 * spread)
    #expect(abs((odds(1) - odds(0)) / slope - 1) < 0.03, "\(odds(1) - odds(0)) for \(slope)")
    #expect(abs(odds(0) / intercept - 1) < 0.03, "\(odds(0)) for \(intercept)")

    // The loss it ends at is the entropy of the class given the state, by quadrature.
    let losses = objective.loss(of: found, on: batch, using: &generator).to(.float64)
    let error = (losses.squared().mean().item - losses.mean().item * losses.mean().item).squareRoot() / 316
    let x = Tensor((0..<4001).map { -6 + 12 * Double($0) / 4000 })
    let densities = m.map { mean in
      (-0.5 * (x - kernel.alpha * mean).squared() / spread).exp() / (2 * Double.pi * spread).squareRoot() * 0.5
    }
    let whole = densities[0] + densities[1]
    let entropy = -densities.map { ($0 * ($0.clamped(1e-300) / whole).log()).sum().item * 12 / 4000 }.reduce(0, +)
    #expect(abs(losses.mean().item - entropy) < 3 * error, "\(losses.mean().item) ± \(error) for \(entropy)")
  }

  private static func three() throws -> (mixture: GaussianMixture, means: Tensor, covariances: Tensor) {
    let covariances = Tensor([0.3, 0.1, 0.1, 0.2, 0.2, -0.05, -0.05, 0.4, 0.25, 0, 0, 0.15], shape: [3, 2, 2])
    let means = Tensor(rows: [[2, 0], [-1, 1.5], [-0.5, -2]])
    return (
      try GaussianMixture(weights: Tensor([0.5, 0.3, 0.2]), means: means, covariances: covariances), means, covariances
    )
  }

  @Test("(Spec: C8.2.3) guided by a trained classifier, the purer the class the more it weighs")
  func guided() throws {
    let (mixture, means, covariances) = try Self.three()
    let schedule = VariancePreserving()
    let whole = GaussianMixtureDenoiser(mixture, on: schedule)
    let parts = try (0..<3).map { index in
      GaussianMixtureDenoiser(
        try GaussianMixture(means: means[index..<(index + 1)], covariances: covariances[index..<(index + 1)]),
        on: schedule)
    }
    let weights = [0.5, 0.3, 0.2]
    func posterior(_ x: Tensor, at t: Double) -> Tensor {
      Tensor.stacked(zip(parts, weights).map { $0.posterior(x, at: t).logDensity.exp() * $1 }, 1)
        / whole.posterior(x, at: t).logDensity.exp().expanded(at: 1)
    }
    var generator = Generator(seed: 5)
    // Which component a draw is of is drawn from its posterior: together they are draws of both.
    let data = mixture.sample(20_000, using: &generator)
    let shares = posterior(data, at: 1e-5)
    let u = Tensor.uniform([20_000], using: &generator)
    let classes = (u .> shares[Axis.all, 0]).to(.int64) + (u .> shares[Axis.all, 0] + shares[Axis.all, 1]).to(.int64)
    let rows = classes.oneHot(3).to(.float32)

    let model = NoisyClassifier(
      MLP(.init(dimension: 2, width: 64, depth: 2), using: &generator), classes: 3, sigmaData: 1.6, on: schedule,
      using: &generator)
    let steps = 1500
    var run = TrainingRun(
      model, ClassificationObjective(times: UniformTimes(0.03...0.95)),
      settings: TrainingSettings(learningRate: .cosine(peak: 5e-3, steps: steps, warmup: 50)),
      averaging: ExponentialMovingAverage(of: model.parameters, decay: 0.99, warmsUp: true), generator: generator)
    for _ in 0..<steps {
      let chosen = Tensor.randomIntegers([512], in: 0..<20_000, using: &generator)
      _ = run.advance(
        on: TrainingBatch(data.selecting(chosen).to(.float32), condition: rows.selecting(chosen)))
    }
    let classifier = run.averagedModel

    // Where the other classes are at little noise, this one's probability is nothing, and its slope is not learned.
    for t in stride(from: 0.05, through: 0.9, by: 0.05) {
      let kernel = schedule.kernel(at: t)
      for origins in [parts[0].mixture] + (t > 0.28 ? [mixture] : []) {
        let x =
          kernel.alpha * origins.sample(500, using: &generator)
          + kernel.sigma * Tensor.normal([500, 2], using: &generator)
        let exact = parts[0].score(x, at: t) - whole.score(x, at: t)
        let found = gradient(at: x) { classifier.logProbability(of: [0])($0, t).sum() }
        let miss = (found - exact).norm(-1).mean().item
        #expect(miss < 0.1, "\(t): \(miss)")
      }
    }

    let grid = TimeGrid.uniformHalfLogSNR(30, over: schedule, from: 0.9, to: 0.05)
    let start = schedule.kernel(at: 0.9).sigma * Tensor.normal([400, 2], using: &generator)
    let purities = [0.0, 1, 3].map { weight in
      let leaning = ScoreGuidance(whole, scale: weight, by: classifier.logProbability(of: [0]))
      let end = sample(leaning, from: start, along: grid, with: .dpmSolverPlusPlus2M).samples
      return (posterior(end, at: 1e-5).argmax(1) .== 0).to(.float64).mean().item
    }
    #expect(abs(purities[0] - 0.5) < 0.1 && purities[1] > purities[0] && purities[2] >= 0.95, "\(purities)")
  }

  @Test("a classifier is trained on classes of its own number, and asked for classes it has")
  func words() async {
    let first = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = Generator(seed: 1)
      let model = NoisyClassifier(
        MLP(.init(dimension: 2, width: 4, depth: 1), using: &generator), classes: 3, sigmaData: 1, on: .edm,
        using: &generator)
      _ = ClassificationObjective(times: UniformTimes(0.1...1)).loss(
        of: model, on: TrainingBatch(.zeros([5, 2], type: .float32)), using: &generator)
    }
    expectWords("ClassificationObjective.loss(on: [5, 2]): the classes are none; needs [5, 3]", first)
    let second = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = Generator(seed: 1)
      let model = NoisyClassifier(
        MLP(.init(dimension: 2, width: 4, depth: 1), using: &generator), classes: 3, sigmaData: 1, on: .edm,
        using: &generator)
      _ = model.logProbability(of: [3])
    }
    expectWords("NoisyClassifier.logProbability(of: [3]): needs classes from 0 to 2", second)
  }
}
