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

  @Test(
    "(Spec: C8.3.1) the scale 0 is the unconditional field and 1 the conditional one, bit for bit, and the other is not asked"
  )
  func ends() throws {
    let (conditional, unconditional) = try fields()
    let x = SplitMix(seed: 3).unit([5, 2])
    for (scale, expected) in [(0.0, unconditional), (1.0, conditional)] {
      let counters = (EvaluationCounter(), EvaluationCounter())
      let guided = ClassifierFreeGuidance(
        CountedDenoiser(conditional, counter: counters.0), over: CountedDenoiser(unconditional, counter: counters.1),
        scale: scale)
      #expect(guided.denoise(x, at: 0.3).isIdentical(to: expected.denoise(x, at: 0.3)))
      #expect(guided.denoise([x], at: [0.4])[0].isIdentical(to: expected.denoise(x, at: 0.4)))
      #expect([counters.0.count, counters.1.count] == (scale == 0 ? [0, 2] : [2, 0]))
    }
  }

  @Test("(Spec: C8.3) the scale may depend on the time, also where several are asked at once")
  func times() throws {
    let (conditional, unconditional) = try fields()
    let x = SplitMix(seed: 3).unit([5, 2])
    func guided(_ scale: GuidanceScale) -> ClassifierFreeGuidance<GaussianMixtureDenoiser, GaussianMixtureDenoiser> {
      ClassifierFreeGuidance(conditional, over: unconditional, scale: scale)
    }
    let falling = guided(GuidanceScale { 5 * $0 })
    let within = guided(.constant(3, within: 0.3...0.6, else: 1))
    let times = [0.2, 0.3, 0.6, 0.8]
    for (t, together) in zip(times, falling.denoise([x, x, x, x], at: times)) {
      expectClose(together, guided(.constant(5 * t)).denoise(x, at: t), within: 1e-15)
      #expect(falling.denoise(x, at: t).isIdentical(to: together))
      let expected = (0.3...0.6).contains(t) ? guided(.constant(3)).denoise(x, at: t) : conditional.denoise(x, at: t)
      #expect(within.denoise(x, at: t).isIdentical(to: expected))
    }
  }

  @Test("a scale that is no number stops, also one that is so at some times only")
  func notFinite() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = GuidanceScale { 1 / $0 }(at: 0)
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(words.contains("GuidanceScale(at: 0.0): is inf; must be finite"), "\(words)")
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
