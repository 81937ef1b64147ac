import Scorefield
import ScorefieldTestSupport
import Testing

/// Moments that a network can learn, and the trace that follows from each.
@Suite struct TraceFormTests {
  struct NamedForm: Sendable, CustomStringConvertible {
    let description: String
    let form: any TraceForm
  }

  static let forms: [NamedForm] = [
    .init(description: "second moment", form: SecondMomentForm()),
    .init(description: "noise moment", form: NoiseMomentForm()),
    .init(description: "prediction error", form: PredictionErrorForm()),
    .init(description: "posterior variance", form: PosteriorVarianceForm(sigmaData: 0.7)),
  ]

  struct NamedHead: Sendable, CustomStringConvertible {
    let description: String
    let head: Head
  }

  static let heads: [NamedHead] = [
    .init(description: "noise", head: .noise), .init(description: "data", head: .data),
    .init(description: "score", head: .score), .init(description: "v", head: .v),
    .init(description: "velocity", head: .velocity), .init(description: "edm", head: .edm(sigmaData: 0.7)),
  ]

  static func exactForms() throws -> [any ExactField] {
    try NamedSchedule.all.flatMap { named -> [any ExactField] in
      [
        EmpiricalDenoiser(data: Fixture.points, on: named.schedule),
        GaussianMixtureDenoiser(try Fixture.mixture2D(), on: named.schedule),
      ]
    }
  }

  /// Noise levels that a schedule reaches.
  static func ratios(of schedule: any NoiseSchedule) -> [Double] {
    let range = schedule.timeRange
    let reached =
      schedule.kernel(at: range.lowerBound).noiseToSignal...schedule.kernel(at: range.upperBound).noiseToSignal
    return [0.1, 0.5, 2, 10].filter(reached.contains)
  }

  @Test("Spec: F3 of the exact posterior every form's residual is V, and its trace the exact one", arguments: forms)
  func exact(_ named: NamedForm) throws {
    let form = named.form
    for field in try Self.exactForms() {
      for ratio in Self.ratios(of: field.schedule) {
        let t = field.schedule.time(atNoiseToSignal: ratio)
        let kernel = field.schedule.kernel(at: t)
        let x = kernel.alpha * Fixture.points + kernel.sigma * SplitMix(seed: 5).unit([5, 2])
        let target = exactTarget(field, x, at: t)
        let moment = form.moment(of: target, predictedNoise: target.noise)
        let residual = form.residual(moment: moment, data: target.data, noise: target.noise, at: kernel)
        // V is between 0 and about d.
        #expect((residual - target.residual!).abs().max().item <= 1e-10, "\(field.schedule), k = \(ratio)")

        let normalization = form.normalization(at: kernel)
        let output = (moment / 2 - normalization.shift) / normalization.scale
        let trace = form.trace(output: output, x: x, data: target.data, at: kernel)
        let exact = ExactFisher(field).fisher(at: x, time: t).trace()
        let error = (trace - exact) * (kernel.sigma * kernel.sigma)
        #expect(error.abs().max().item <= 1e-10, "\(field.schedule), k = \(ratio)")
      }
    }
  }

  @Test("Spec: F3 the mean of a single draw's moment is the posterior's, whatever the denoiser says", arguments: forms)
  func draws(_ named: NamedForm) {
    let field = EmpiricalDenoiser(data: Fixture.points, on: .variancePreserving)
    for ratio in [0.3, 1, 3] {
      let t = field.schedule.time(atNoiseToSignal: ratio)
      let kernel = field.schedule.kernel(at: t)
      let x = kernel.alpha * Tensor(rows: [[0.4, 0.5]]) + kernel.sigma * Tensor(rows: [[0.3, -0.6]])
      let target = exactTarget(field, x, at: t)
      // Of single draws this one adds the denoiser's error, as it says.
      let isExact = named.form is PosteriorVarianceForm
      let predicted = isExact ? target.noise : target.noise + Tensor(rows: [[0.2, -0.5]])
      let expected = named.form.moment(of: target, predictedNoise: predicted).item

      let noise = (x - kernel.alpha * Fixture.points) / kernel.sigma
      let moments = named.form.moment(
        of: PosteriorTarget(data: Fixture.points, noise: noise), predictedNoise: predicted.broadcast(to: [5, 2]))
      let shares = (-0.5 * noise.squared().sum(-1)).softmax(0)
      #expect(abs((shares * moments).sum().item - expected) <= 1e-10 * max(1, expected))

      // And of 20,000 draws, within four standard errors.
      var generator = Generator(seed: 7)
      let bounds = shares.cumulativeSum(0)
      let chosen = (Tensor.uniform([20_000, 1], using: &generator) .>= bounds[..<4]).to(.int64).sum(-1)
      let found = Estimate(samples: moments.selecting(chosen).expanded(at: 1))
      #expect(abs(found.value.item - expected) <= 4 * found.standardError!.item)
    }
  }

  @Test("Spec: F3 of single draws the posterior's variance has the denoiser's squared error added")
  func bias() {
    let noise = Tensor(rows: [[1, 2]])
    let draw = PosteriorTarget(data: Tensor(rows: [[0, 0]]), noise: noise)
    let found = PosteriorVarianceForm(sigmaData: 1).moment(of: draw, predictedNoise: Tensor(rows: [[0, 0.5]]))
    #expect(abs(found.item - 3.25) < 1e-15)
  }

  @Test("a form's rate is how its residual goes with its moment", arguments: forms)
  func rates(_ named: NamedForm) {
    let kernel = VariancePreserving().kernel(at: 0.3)
    let (data, noise) = (SplitMix(seed: 1).unit([3, 4]), SplitMix(seed: 2).unit([3, 4]))
    func residual(_ moment: Double) -> Tensor {
      named.form.residual(moment: .full([3], moment), data: data, noise: noise, at: kernel)
    }
    expectClose(residual(5) - residual(3), .full([3], 2 * named.form.residualRate(at: kernel)), within: 1e-13)
    // A posterior that is all at the denoiser's answer leaves nothing.
    let certain = named.form.moment(of: PosteriorTarget(data: data, noise: noise), predictedNoise: noise)
    let nothing = named.form.residual(moment: certain, data: data, noise: noise, at: kernel)
    #expect(nothing.abs().max().item < 1e-14)
  }

  @Test("the posterior's variance in units of Gaussian data's")
  func normalization() {
    let kernel = PerturbationKernel(time: 0.5, alpha: 0.5, sigma: 2, alphaRate: -1, sigmaRate: 1)
    // s²/(s² + k²) with s = 3 and k = 4.
    let found = PosteriorVarianceForm(sigmaData: 3).normalization(at: kernel)
    #expect(abs(found.shift - 0.36) < 1e-15 && found.scale == found.shift)
    #expect(NoiseMomentForm().normalization(at: kernel) == TraceNormalization(shift: 1, scale: 1))
    #expect(SecondMomentForm().normalization(at: kernel) == TraceNormalization(shift: 0, scale: 1))
    #expect(PredictionErrorForm().normalization(at: kernel) == TraceNormalization(shift: 0, scale: 1))
  }

  @Test("Spec: F3 networks that know their form give the exact trace beside a denoiser of any head", arguments: heads)
  func served(_ head: NamedHead) {
    for schedule in [VariancePreserving(), .flowMatching, .edm, .subVariancePreserving] as [any NoiseSchedule] {
      let field = EmpiricalDenoiser(data: Fixture.points, on: schedule)
      let preconditioning = Preconditioning(head.head, sigmaData: 0.9)
      for named in Self.forms {
        let network = FunctionNetwork.exact(field, preconditioning, form: named.form, dimension: 2).twoHeaded
        let joint = TraceMatchedDenoiser(network, preconditioning, form: named.form, on: schedule)
        // The trace's own network may be asked in another way than the denoiser.
        let other = Preconditioning.edm(sigmaData: 1.3)
        let beside = TraceMatching(
          of: joint.denoiser, network: FunctionNetwork.exact(field, other, form: named.form, dimension: 2).twoHeaded,
          other, form: named.form)
        for ratio in [0.3, 1, 5] {
          let t = schedule.time(atNoiseToSignal: ratio)
          let kernel = schedule.kernel(at: t)
          let x = kernel.alpha * Fixture.points + kernel.sigma * SplitMix(seed: 5).unit([5, 2])
          let exact = ExactFisher(field).fisher(at: x, time: t).trace()
          let scale = kernel.sigma * kernel.sigma
          for trace in [joint.fisher(at: x, time: t).trace(), beside.fisher(at: x, time: t).trace()] {
            #expect((scale * (trace - exact)).abs().max().item < 1e-8, "\(named), k = \(ratio) on \(schedule)")
          }
          expectClose(joint.denoise(x, at: t), field.denoise(x, at: t), within: 1e-8)
        }
      }
    }
  }

  @Test("Spec: F3 the bound from errors of the moment and of the mean is never exceeded, and is reached")
  func bound() {
    let form = SecondMomentForm()
    var generator = Generator(seed: 3)
    var tightest = 0.0
    for named in NamedSchedule.all {
      let field = EmpiricalDenoiser(data: Fixture.points, on: named.schedule)
      for ratio in Self.ratios(of: named.schedule) {
        let t = named.schedule.time(atNoiseToSignal: ratio)
        let kernel = named.schedule.kernel(at: t)
        let x = kernel.alpha * Fixture.points + kernel.sigma * SplitMix(seed: 5).unit([5, 2])
        let target = exactTarget(field, x, at: t)
        let moment = form.moment(of: target, predictedNoise: target.noise)
        let exact = ExactFisher(field).fisher(at: x, time: t).trace()
        func error(_ momentError: Tensor, _ meanError: Tensor) -> (found: Tensor, bound: Tensor) {
          let trace = form.trace(output: (moment + momentError) / 2, x: x, data: target.data + meanError, at: kernel)
          return (
            (trace - exact).abs(),
            kernel.fisherTraceErrorBound(
              secondMoment: momentError.abs(), mean: meanError.norm(-1), size: target.data.norm(-1))
          )
        }
        for _ in 0..<40 {
          let size = Tensor.uniform([2], using: &generator).doubles
          let (found, bound) = error(
            size[0] * Tensor.normal([5], using: &generator), size[1] * Tensor.normal([5, 2], using: &generator))
          #expect((found .<= bound * (1 + 1e-9)).all(), "\(named), k = \(ratio)")
          tightest = max(tightest, (found / bound).max().item)
        }
        // A mean that is too long, and a moment that is too small.
        let direction = (target.data + 1e-12) / (target.data + 1e-12).norm(-1, keeping: true)
        let (found, bound) = error(.full([5], -0.3), 0.2 * direction)
        expectClose(found, bound, within: 1e-9)
      }
    }
    #expect(tightest > 0.9)
  }
}
