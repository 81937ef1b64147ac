import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// Weights that are learned.
@Suite struct UncertaintyTests {
  static func model() throws -> UncertaintyWeightedObjective.Model {
    var generator = Generator(seed: 1)
    return .init(
      try TimeDistributionTests.exactModel(),
      uncertainty: LossUncertainty(using: &generator).mapParameters { $0.to(.float64) })
  }

  @Test("Spec: B6.5 a new uncertainty is zero, and leaves the loss as it is")
  func start() throws {
    let model = try Self.model()
    let denoising = DenoisingObjective(times: UniformTimes(0.01...1))
    let batch = TrainingBatch(SplitMix(seed: 1).unit([16, 1]))
    var (a, b) = (Generator(seed: 1), Generator(seed: 1))
    let plain = denoising.loss(of: model.denoiser, on: batch, using: &a)
    let weighted = UncertaintyWeightedObjective(denoising).loss(of: model, on: batch, using: &b)
    #expect(weighted.shape == [16] && weighted.isIdentical(to: plain))
  }

  @Test("Spec: B6.5 the loss is e^{−u} L + u of each sample's own noise")
  func formula() throws {
    let model = try Self.model()
    let other = UncertaintyWeightedObjective.Model(
      model.denoiser,
      uncertainty: model.uncertainty.replacing(
        parameters: model.uncertainty.parameters.enumerated().map { SplitMix(seed: $0).unit($1.shape) / 4 }))
    let denoising = DenoisingObjective(times: UniformTimes(0.01...1), weighting: .signalToNoise)
    var generator = Generator(seed: 1)
    let sample = denoising.sample(
      of: TrainingBatch(SplitMix(seed: 1).unit([16, 1])), on: TimeDistributionTests.vp, using: &generator)
    let plain = denoising.loss(of: other.denoiser, on: sample)
    let u = other.uncertainty(Tensor(sample.kernels.kernels.map { log($0.noiseToSignal) }))
    #expect(u.standardDeviation().item > 0.01)
    expectClose(
      UncertaintyWeightedObjective(denoising).loss(of: other, on: sample), (-u).exp() * plain + u, within: 1e-12)
  }

  @Test("Spec: B6.5 at its optimum the uncertainty is the logarithm of the loss at its time")
  func optimum() throws {
    let denoising = DenoisingObjective(times: LogUniformNoise(on: TimeDistributionTests.vp, ratios: 0.05...20))
    let steps = 1000
    var run = TrainingRun(
      try Self.model(), UncertaintyWeightedObjective(denoising),
      settings: TrainingSettings(learningRate: .cosine(peak: 0.02, steps: steps)),
      averaging: ExponentialMovingAverage(of: try Self.model().parameters, decay: 0.98),
      generator: Generator(seed: 2))
    var generator = Generator(seed: 3)
    for _ in 0..<steps {
      #expect(run.advance(on: TrainingBatch(0.7 + 1.3 * Tensor.normal([512, 1], using: &generator))).isFinite)
    }
    // The denoiser is exact and stays so, and its loss is known.
    let ratios = [0.07, 0.2, 0.5, 1, 2, 5, 15]
    let found = run.averagedModel.uncertainty(Tensor(ratios.map { log($0) })).doubles
    for (ratio, u) in zip(ratios, found) {
      let loss = 1.69 / (1.69 + ratio * ratio)
      #expect(abs(u - log(loss)) < 0.1, "u = \(u) for log \(loss) at k = \(ratio)")
    }
  }
}
