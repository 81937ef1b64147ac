import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct GuidanceTests {
  private let schedule = VariancePreserving()
  private func fields() throws -> (conditional: GaussianMixtureDenoiser, unconditional: GaussianMixtureDenoiser) {
    // A part of the mixture, and all of it.
    let part = try GaussianMixture(
      weights: Tensor([0.6, 0.4]), means: Tensor(rows: [[-2, 0], [2, 1]]), standardDeviations: Tensor([0.3, 0.5]))
    return (
      GaussianMixtureDenoiser(part, on: schedule), GaussianMixtureDenoiser(try Fixture.mixture2D(), on: schedule)
    )
  }

  @Test("the scale 0 is the unconditional field and 1 the conditional one")
  func ends() throws {
    let (conditional, unconditional) = try fields()
    let x = SplitMix(seed: 3).unit([5, 2])
    for (scale, expected) in [(0.0, unconditional), (1.0, conditional)] {
      let guided = ClassifierFreeGuidance(conditional, over: unconditional, scale: scale)
      expectClose(guided.denoise(x, at: 0.3), expected.denoise(x, at: 0.3), within: 1e-14)
    }
  }

  @Test("guidance is the same in the estimate, the noise and the score", arguments: [-0.5, 0.3, 2, 7.5])
  func affine(_ scale: Double) throws {
    let (conditional, unconditional) = try fields()
    let guided = ClassifierFreeGuidance(conditional, over: unconditional, scale: scale)
    let x = SplitMix(seed: 4).unit([5, 2])
    for t in [0.05, 0.4, 0.9] {
      let (c, u) = (conditional.score(x, at: t), unconditional.score(x, at: t))
      expectClose(guided.score(x, at: t), (1 - scale) * u + scale * c, within: 1e-9, "score at \(t)")
    }
  }

  @Test("the guided trace is that of the guided field, by differentiation", arguments: [0.0, 1, 1.5, 4])
  func trace(_ scale: Double) throws {
    let (conditional, unconditional) = try fields()
    let x = SplitMix(seed: 5).unit([6, 2])
    let guided = ClassifierFreeGuidance(ExactFisher(conditional), over: ExactFisher(unconditional), scale: scale)
    let plain = ClassifierFreeGuidance(conditional, over: unconditional, scale: scale)
    for t in [0.05, 0.4, 0.9] {
      let (data, traces) = guided.denoiseWithTraces(x, at: t)
      expectClose(data, plain.denoise(x, at: t), within: 1e-12)
      let truth = FullTrace(VJPFisher(plain)).fisher(at: x, time: t).trace()
      expectClose(traces[0], truth, within: 1e-8, "scale \(scale) at \(t)")
    }
  }

  @Test("a guided flow has a likelihood, and at scale 1 it is the conditional one")
  func likelihood() throws {
    let (conditional, unconditional) = try fields()
    let x = SplitMix(seed: 6).unit([4, 2])
    let guided = ClassifierFreeGuidance(ExactFisher(conditional), over: ExactFisher(unconditional), scale: 1)
    let found = logLikelihood(of: x, under: guided, from: 0.1, to: 1, prior: .exact(conditional))
    expectClose(found.logLikelihood, conditional.posterior(x, at: 0.1).logDensity, within: 1e-3)
  }
}
