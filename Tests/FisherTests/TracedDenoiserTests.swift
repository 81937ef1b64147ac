import Scorefield
import ScorefieldTestSupport
import Testing

/// Denoisers whose trace comes with them.
@Suite struct TracedDenoiserTests {
  /// A network of random parameters with a scalar head, `float64`, and how often its trunk was asked.
  static func joint(
    _ head: Head = .edm(sigmaData: 0.8), form: any TraceForm = PosteriorVarianceForm(sigmaData: 0.8),
    on schedule: any NoiseSchedule = .variancePreserving, counter: EvaluationCounter = EvaluationCounter()
  ) -> TraceMatchedDenoiser {
    var generator = Generator(seed: 3)
    let trunk = MLP(.init(dimension: 2, width: 16, depth: 2, conditionWidth: 2), using: &generator)
    let network = TwoHeaded(CountedNetwork(base: trunk, counter: counter), using: &generator)
    let parameters = network.parameters.enumerated().map { index, parameter in
      0.2 * SplitMix(seed: 70 + index).unit(parameter.shape)
    }
    return TraceMatchedDenoiser(
      network.replacing(parameters: parameters), Preconditioning(head, sigmaData: 0.8), form: form, on: schedule)
  }

  struct CountedNetwork: Network {
    var base: MLP
    let counter: EvaluationCounter
    var featureWidth: Int { base.featureWidth }
    mutating func visit(_ visitor: inout ParameterVisitor) { base.visit(&visitor) }
    func features(_ x: Tensor, noise: Tensor, condition: Tensor?) -> Tensor {
      counter.increment()
      return base.features(x, noise: noise, condition: condition)
    }
    func output(of features: Tensor, like x: Tensor) -> Tensor { base.output(of: features, like: x) }
  }

  let x = SplitMix(seed: 1).unit([6, 2])

  @Test("a joint evaluation is the two apart, at every time and of every form", arguments: TraceFormTests.forms)
  func together(_ named: TraceFormTests.NamedForm) {
    let model = Self.joint(form: named.form)
    for t in [0.02, 0.3, 0.9] {
      let (data, traces) = model.denoiseWithTraces(x, at: t)
      #expect(traces.shape == [1, 6])
      #expect(data.isIdentical(to: model.denoise(x, at: t)))
      #expect(data.isIdentical(to: model.denoiser.denoise(x, at: t)))
      #expect(traces[0].isIdentical(to: model.fisher(at: x, time: t).trace()))
      // Points differ.
      #expect(data.standardDeviation().item > 0.01)
      #expect(traces.standardDeviation().item > 1e-6 * traces.abs().max().item)
    }
  }

  @Test("a network beside a denoiser with the same parameters gives the same trace")
  func beside() {
    let model = Self.joint()
    let matching = TraceMatching(
      of: model.denoiser, network: model.network, model.preconditioning, form: model.form)
    let (data, traces) = matching.denoiseWithTraces(x, at: 0.4)
    #expect(data.isIdentical(to: model.denoise(x, at: 0.4)))
    expectClose(traces[0], model.fisher(at: x, time: 0.4).trace(), within: 1e-13)
    #expect(matching.estimateCount(at: x, time: 0.4) == 1 && matching.exactField == nil)
    // What is trained is the trace's network alone.
    #expect(matching.namedParameters.allSatisfy { $0.name.hasPrefix("trace.") })
    #expect(matching.parameters.count == model.network.parameters.count)
    #expect(model.namedParameters.map(\.name).contains("network.scalar.last.weight"))
  }

  @Test("a condition reaches the denoiser and the trace")
  func conditions() {
    let model = Self.joint()
    let other = model.conditioned(on: Tensor(rows: [[1, -1]]))
    let (data, traces) = other.denoiseWithTraces(x, at: 0.4)
    #expect(relativeError(data, model.denoise(x, at: 0.4)) > 1e-3)
    #expect(relativeError(traces[0], model.fisher(at: x, time: 0.4).trace()) > 1e-6)
    #expect(data.isIdentical(to: model.denoiser.conditioned(on: Tensor(rows: [[1, -1]])).denoise(x, at: 0.4)))
  }

  @Test("likelihoods by one evaluation and by two have the same bits, and one asks the network once")
  func likelihood() {
    let counter = EvaluationCounter()
    let model = Self.joint(counter: counter)
    func ask(_ body: () -> Likelihood) -> (Likelihood, Int) {
      let before = counter.count
      return (body(), counter.count - before)
    }
    let solvers: [LikelihoodSolver] = [.rungeKutta(.heun, steps: 10), .dopri5(rtol: 1e-4, atol: 1e-4)]
    for solver in solvers {
      let (joint, once) = ask { logLikelihood(of: x, under: model, from: 0.05, to: 1, solver: solver) }
      let (apart, twice) = ask {
        logLikelihood(of: x, under: WithTrace(model.denoiser, model), from: 0.05, to: 1, solver: solver)
      }
      #expect(joint.outcome == .converged && joint.evaluations == apart.evaluations)
      #expect(joint.logLikelihood.isIdentical(to: apart.logLikelihood) && joint.latent.isIdentical(to: apart.latent))
      #expect(once == joint.evaluations)
      // And once more to learn how many estimates there are.
      #expect(twice == 2 * joint.evaluations + 1)
      #expect(joint.standardError == nil)
    }
  }

  @Test("the exact Fisher is a denoiser with its trace, and its likelihood is that of the two apart")
  func exact() throws {
    let field = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: .flowMatching)
    let access = ExactFisher(field)
    let (data, traces) = access.denoiseWithTraces(x, at: 0.4)
    expectClose(data, field.denoise(x, at: 0.4), within: 1e-13)
    expectClose(traces[0], access.fisher(at: x, time: 0.4).trace(), within: 1e-13)
    #expect(access.estimateCount(at: x, time: 0.4) == 1 && access.exactField != nil)
    let joint = logLikelihood(of: x, under: access, from: 0.05, to: 0.95, prior: .exact(field))
    let apart = logLikelihood(of: x, under: field, trace: access, from: 0.05, to: 0.95, prior: .exact(field))
    expectClose(joint.logLikelihood, apart.logLikelihood, within: 1e-9)
    #expect(WithTrace(field, access).exactField != nil && WithTrace(Self.joint(), access).exactField == nil)
  }

  @Test("a random trace has as many estimates as it says, in the same evaluation")
  func estimates() {
    let model = Self.joint()
    let traced = WithTrace(model.denoiser, Hutchinson(VJPFisher(model.denoiser), probes: 3, seed: 1))
    #expect(traced.estimateCount(at: x, time: 0.3) == 3)
    #expect(traced.denoiseWithTraces(x, at: 0.3).traces.shape == [3, 6])
  }

  @Test("answers have the type of the points")
  func types() {
    let model = Self.joint()
    let (data, traces) = model.denoiseWithTraces(x.to(.float32), at: 0.4)
    #expect(data.elementType == .float32 && traces.elementType == .float32)
    let (exactData, exactTraces) = model.denoiseWithTraces(x, at: 0.4)
    expectClose(data, exactData, within: 1e-5)
    expectClose(traces, exactTraces, within: 1e-5)
  }
}
