import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct JointObjectiveTests {
  private let data = SplitMix(seed: 1).unit([256, 3])

  /// A small network whose weights are no longer zero.
  private func model() -> TraceMatchedDenoiser {
    var generator = Generator(seed: 4)
    let trunk = MLP(.init(dimension: 3, width: 24, depth: 2), using: &generator)
    return TraceMatchedDenoiser(
      TwoHeaded(trunk, using: &generator), .edm(sigmaData: 0.6), form: PosteriorVarianceForm(sigmaData: 0.6),
      on: .edm
    ).mapParameters { $0.to(.float64) }
  }

  @Test("the head that learns from the denoiser comes to the trace of the denoiser's own derivative")
  func ownTrace() {
    // The denoiser stands still: its loss weighs nothing.
    let still = DenoisingObjective(
      times: LogUniformNoise(on: .edm, ratios: 0.3...3), weighting: Weighting { _ in 0 })
    let objective = JointObjective(still, trace: .denoiser(relativeStep: 0.01), loss: .squared)
    let start = model()
    let trunkCount = start.network.trunk.parameters.count
    var run = TrainingRun(
      start, objective, settings: TrainingSettings(learningRate: .cosine(peak: 5e-3, steps: 801, warmup: 20)),
      averaging: ExponentialMovingAverage(of: start.parameters, decay: 0.99, warmsUp: true),
      generator: Generator(seed: 5))
    for _ in 0..<800 { _ = run.advance(on: TrainingBatch(data)) }
    let trained = run.averagedModel
    #expect(trained.network.trunk.parameters.count == trunkCount)

    let x = data[..<64] + 0.8 * SplitMix(seed: 6).unit([64, 3])
    for t in [0.5, 1, 2] {
      let truth = FullTrace(VJPFisher(trained.denoiser)).fisher(at: x, time: t).trace()
      let found = trained.fisher(at: x, time: t).trace()
      let null = NullFisher(on: .edm).fisher(at: x, time: t).trace()
      let (error, size) = ((found - truth).abs().mean().item, (null - truth).abs().mean().item)
      #expect(error < 0.1 * size, "at \(t): \(error) of \(size)")
    }
  }

  @Test("the trace may have posteriors where the denoiser has single draws, and neither changes the other's loss")
  func sources() {
    let times = LogUniformNoise(on: .edm, ratios: 0.3...3)
    func loss(_ objective: JointObjective) -> Tensor {
      var generator = Generator(seed: 7)
      return objective.loss(of: model(), on: TrainingBatch(data[..<32]), using: &generator)
    }
    let single = DenoisingObjective(times: times)
    var generator = Generator(seed: 7)
    let alone = single.loss(of: model().denoiser, on: TrainingBatch(data[..<32]), using: &generator)
    let posteriors = StableTargets(over: data)
    for source in [JointObjective.TraceSource.denoising, .posteriors(posteriors), .denoiser(relativeStep: 0.02)] {
      expectClose(loss(JointObjective(single, trace: source, weight: 0)), alone, within: 1e-12)
    }
    let stable = DenoisingObjective(times: times, targets: posteriors)
    expectClose(
      loss(JointObjective(stable)), loss(JointObjective(stable, trace: .posteriors(posteriors))), within: 1e-12)
  }
}
