import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// Trace heads, trained and judged against the exact trace.
@Suite struct TraceTrainingTests {
  typealias NamedForm = (name: String, form: any TraceForm)

  /// The root mean square of a coordinate of the fixture.
  static let sigmaData = 1.6

  struct Case: Sendable, CustomStringConvertible {
    let description: String
    let form: any TraceForm
    let loss: TraceLoss
    let isStable: Bool
    /// The relative error in the mean that is allowed.
    let threshold: Double
  }

  static let cases: [Case] = [
    .init(
      description: "second moment", form: SecondMomentForm(), loss: .squared, isStable: false, threshold: 0.06),
    // Its residual is the small difference of the moment and |ε̂|², which the network has to learn too.
    .init(description: "noise moment", form: NoiseMomentForm(), loss: .squared, isStable: false, threshold: 0.2),
    .init(
      description: "prediction error", form: PredictionErrorForm(), loss: .squared, isStable: false, threshold: 0.06),
    .init(
      description: "posterior variance", form: PosteriorVarianceForm(sigmaData: sigmaData), loss: .squared,
      isStable: false, threshold: 0.06),
    .init(
      description: "second moment, posteriors", form: SecondMomentForm(), loss: .relative, isStable: true,
      threshold: 0.03),
    .init(
      description: "noise moment, posteriors", form: NoiseMomentForm(), loss: .squared, isStable: true,
      threshold: 0.15),
    .init(
      description: "posterior variance, posteriors", form: PosteriorVarianceForm(sigmaData: sigmaData),
      loss: .relative, isStable: true, threshold: 0.03),
  ]

  /// The data as a sample of the fixture, which is then the truth.
  static let data: Tensor = {
    var generator = Generator(seed: 20)
    return (try? Fixture.mixture2D().sample(300, using: &generator))!
  }()
  static let schedule = EDMSchedule()
  static let field = EmpiricalDenoiser(data: data, on: schedule)
  static let times = LogUniformNoise(on: schedule, ratios: 1...20)

  /// The exact denoiser of many points at once, each with its own noise.
  static let exactNetwork = FunctionNetwork(dimension: 2) { x, noise in
    let k = noise.exp()
    let point = x * (k.squared() + sigmaData * sigmaData).sqrt().expanded(at: 1)
    let sample = PathSample(
      data: point, noise: .zeros(like: point), kernels: KernelBatch(schedule, at: k.doubles))
    return (StableTargets(over: data).target(for: sample).noise, .zeros([x.batch]))
  }

  /// `Σ|error|/Σ|true|` of a trace at some noise levels.
  static func error(_ access: some FisherAccess<LearnedTrace>) -> Double {
    var generator = Generator(seed: 30)
    var (wrong, total) = (0.0, 0.0)
    for t in [1.2, 2, 3.0, 5] {
      let rows = data.selecting(Tensor.randomIntegers([500], in: 0..<300, using: &generator))
      let x = rows + t * Tensor.normal([500, 2], using: &generator)
      let exact = ExactFisher(field).fisher(at: x, time: t).trace()
      let found = access.fisher(at: x.to(.float32), time: t).trace().to(.float64)
      // In units of 1/σ², so that every level counts.
      wrong += (t * t) * (found - exact).abs().sum().item
      total += (t * t) * exact.abs().sum().item
    }
    return wrong / total
  }

  static func batch(_ generator: inout Generator) -> TrainingBatch {
    TrainingBatch(
      data.selecting(Tensor.randomIntegers([512], in: 0..<300, using: &generator)).to(.float32))
  }

  static func newNetwork(_ generator: inout Generator) -> TwoHeaded {
    TwoHeaded(MLP(.init(dimension: 2, width: 64, depth: 2), using: &generator), scalarWidth: 64, using: &generator)
  }

  static func settings(_ steps: Int) -> TrainingSettings {
    TrainingSettings(learningRate: .cosine(peak: 5e-3, steps: steps, warmup: 20), beta2: 0.99)
  }

  @Test(
    "Spec: F3 trace matching beside an exact denoiser comes close to the exact trace", arguments: [cases[0], cases[6]])
  func matching(_ trained: Case) { check(trained) }

  @Test(
    "Spec: F3 trace matching comes close to the exact trace in every other form too", .tags(.slow), .whenAllTestsRun,
    arguments: cases[1..<6])
  func others(_ trained: Case) { check(trained) }

  private func check(_ trained: Case) {
    var generator = Generator(seed: 1)
    let preconditioning = Preconditioning(.noise, sigmaData: Self.sigmaData)
    let model = TraceMatching(
      of: NetworkDenoiser(Self.exactNetwork, preconditioning, on: Self.schedule), network: Self.newNetwork(&generator),
      preconditioning, form: trained.form)
    let steps = 500
    var run = TrainingRun(
      model,
      TraceObjective(
        times: Self.times, loss: trained.loss, targets: trained.isStable ? StableTargets(over: Self.data) : nil),
      settings: Self.settings(steps),
      averaging: ExponentialMovingAverage(of: model.parameters, decay: 0.98, warmsUp: true), generator: generator)
    let before = Self.error(model)
    for _ in 0..<steps { #expect(run.advance(on: Self.batch(&generator)).isFinite) }
    let found = Self.error(run.averagedModel)
    #expect(found < trained.threshold && found < before / 3, "\(found), before \(before)")
  }

  struct Joint: Sendable, CustomStringConvertible {
    let description: String
    let form: any TraceForm
    let isStable: Bool
  }

  @Test(
    "Spec: F8 denoiser and trace learn together on one trunk",
    arguments: [
      Joint(description: "posteriors", form: PosteriorVarianceForm(sigmaData: sigmaData), isStable: true),
      Joint(description: "single draws", form: PredictionErrorForm(), isStable: false),
    ])
  func joint(_ trained: Joint) {
    var generator = Generator(seed: 1)
    let model = TraceMatchedDenoiser(
      Self.newNetwork(&generator), .edm(sigmaData: Self.sigmaData), form: trained.form,
      on: Self.schedule)
    let denoising = DenoisingObjective(
      times: Self.times, targets: trained.isStable ? StableTargets(over: Self.data) : nil)
    let steps = 600
    var run = TrainingRun(
      model, JointObjective(denoising, loss: trained.isStable ? .relative : .squared),
      settings: Self.settings(steps),
      averaging: ExponentialMovingAverage(of: model.parameters, decay: 0.98, warmsUp: true), generator: generator)
    let before = Self.error(model)
    for _ in 0..<steps { #expect(run.advance(on: Self.batch(&generator)).isFinite) }
    let found = Self.error(run.averagedModel)
    #expect(found < (trained.isStable ? 0.03 : 0.06) && found < before / 3, "\(found), before \(before)")
    let x = 3 * SplitMix(seed: 1).unit([50, 2])
    let difference = (run.averagedModel.noise(x, at: 2) - Self.field.noise(x, at: 2)).squared().mean().item
    #expect(difference < 0.01)
  }

  @Test("the joint loss is the denoising loss and the weighted trace loss of the same draws")
  func sum() {
    var generator = Generator(seed: 1)
    let model = TraceMatchedDenoiser(
      Self.newNetwork(&generator), .edm(sigmaData: Self.sigmaData), form: PredictionErrorForm(), on: Self.schedule)
    let denoising = DenoisingObjective(times: Self.times)
    let batch = Self.batch(&generator)
    func loss(_ weight: Double) -> Tensor {
      var draws = Generator(seed: 5)
      return JointObjective(denoising, loss: .squared, weight: weight).loss(of: model, on: batch, using: &draws)
    }
    var draws = Generator(seed: 5)
    let alone = denoising.loss(of: model.denoiser, on: batch, using: &draws)
    expectClose(loss(0), alone, within: 1e-6)
    // The trace head is zero at first: its loss is the squared target, |ε − ε̂|²/d, squared.
    draws = Generator(seed: 5)
    let sample = denoising.sample(of: batch, on: Self.schedule, using: &draws)
    let rows = (0..<8).map { row -> Double in
      let one = row..<(row + 1)
      let predicted = model.denoiser.noise(sample.point[one], at: sample.kernels.kernels[row].time)
      return pow((sample.noise[one] - predicted).squared().mean().item, 2)
    }
    expectClose((loss(3) - alone)[..<8] / 3, Tensor(rows), within: 1e-3)
  }

  @Test("the trace head sees the denoiser as a constant")
  func constant() {
    var generator = Generator(seed: 1)
    let model = TraceMatchedDenoiser(
      Self.newNetwork(&generator), .edm(sigmaData: Self.sigmaData), form: PredictionErrorForm(), on: Self.schedule)
    // A new head does not look at the features, so nothing but a target could pull at the trunk.
    let batch = Self.batch(&generator)
    func gradients(_ weight: Double) -> [Tensor] {
      valueAndGradients(at: model.parameters) { parameters in
        var draws = Generator(seed: 5)
        return JointObjective(DenoisingObjective(times: Self.times), loss: .squared, weight: weight)
          .loss(of: model.replacing(parameters: parameters), on: batch, using: &draws).mean()
      }.gradients
    }
    for ((name, _), (a, b)) in zip(model.namedParameters, zip(gradients(0), gradients(1)))
    where name.contains("trunk") {
      expectClose(a, b, within: 1e-6, "\(name)")
    }
  }

  // MARK: The losses themselves

  @Test("Spec: F8 a relative loss counts the error of the trace, whatever moment is learned")
  func relative() {
    var generator = Generator(seed: 1)
    let field = EmpiricalDenoiser(data: Fixture.points, on: .variancePreserving)
    let schedule = field.schedule
    let t = schedule.time(atNoiseToSignal: 0.8)
    let kernel = schedule.kernel(at: t)
    let sample = PathSample(
      data: Fixture.points, noise: SplitMix(seed: 4).unit([5, 2]),
      kernels: KernelBatch(Array(repeating: kernel, count: 5)))
    let exact = ExactFisher(field).fisher(at: sample.point, time: t).trace()
    let forms: [any TraceForm] = [SecondMomentForm(), NoiseMomentForm(), PosteriorVarianceForm(sigmaData: 0.9)]
    for form in forms {
      let preconditioning = Preconditioning(.v, sigmaData: 0.9)
      // A trace head that is wrong by 0.05.
      let right = FunctionNetwork.exact(field, preconditioning, form: form, dimension: 2)
      let wrong = FunctionNetwork(dimension: 2) { x, noise in
        let features = right.features(x, noise: noise, condition: nil)
        return (features[Axis.all, ..<2], features[Axis.all, 2] + 0.05)
      }
      func model(_ network: FunctionNetwork) -> TraceMatching {
        TraceMatching(
          of: NetworkDenoiser(right, preconditioning, on: schedule), network: network.twoHeaded, preconditioning,
          form: form)
      }
      let times = UniformTimes(t...t)
      let objective = TraceObjective(
        times: times, loss: .relative, targets: StableTargets(over: Fixture.points))
      var draws = Generator(seed: 9)
      let loss = objective.loss(of: model(wrong), on: TrainingBatch(Fixture.points), using: &draws)
      var again = Generator(seed: 9)
      _ = times.stratifiedTimes(5, using: &again)
      let x = kernel.alpha * Fixture.points + kernel.sigma * Tensor.normal([5, 2], using: &again)
      let truth = ExactFisher(field).fisher(at: x, time: t).trace()
      let found = model(wrong).fisher(at: x, time: t).trace()
      let share = kernel.sigma * kernel.sigma / 2
      let gaussian = kernel.sigma * kernel.sigma / (0.81 * kernel.alpha * kernel.alpha + kernel.sigma * kernel.sigma)
      let size = ((share * truth).abs().mean() * (share * truth - gaussian).abs().mean()).sqrt()
      expectClose(loss, (share * (found - truth)).abs() / size, within: 1e-6)

      // And nothing where it is right.
      let none = objective.loss(of: model(right), on: TrainingBatch(Fixture.points), using: &draws)
      #expect(none.max().item < 1e-7)
    }
    #expect(exact.isFinite().all() && generator.next() > 0)
  }

  @Test("a relative loss is the trace's error in units of what is hard")
  func units() {
    // A prediction error of 0 and one network output of everything: V = d y.
    func loss(_ output: Double) -> Double {
      let data = Tensor(rows: [[0, 0]])
      let network = FunctionNetwork(dimension: 2) { x, _ in (.zeros(like: x), .full([x.batch], output)) }
      let model = TraceMatching(
        of: NetworkDenoiser(network, Preconditioning(.data, sigmaData: 1), on: .edm), network: network.twoHeaded,
        Preconditioning(.data, sigmaData: 1), form: PosteriorVarianceForm(sigmaData: 1))
      var generator = Generator(seed: 1)
      // One point: V = 0 and g = 1, against σ²/(1 + σ²) = ½ of Gaussian data: n = √½.
      return TraceObjective(
        times: UniformTimes(1...1), loss: .relative, targets: StableTargets(over: data)
      ).loss(of: model, on: TrainingBatch(data), using: &generator).item
    }
    // V/d = ½ (1 + y).
    for error in [0.02, 0.1, 0.3] {
      let expected = error / 0.5.squareRoot()
      #expect(abs(loss(-1 + 2 * error) - expected) < 1e-6)
      #expect(abs(loss(-1 - 2 * error) - expected) < 1e-6)
    }
  }

  // MARK: Pools

  static func pooled(_ network: TwoHeaded, _ preconditioning: Preconditioning, _ form: any TraceForm, loss: TraceLoss)
    -> (objective: PooledObjective, model: TraceMatchedDenoiser)
  {
    let model = TraceMatchedDenoiser(network, preconditioning, form: form, on: .variancePreserving)
    var generator = Generator(seed: 3)
    let objective = PooledObjective(
      200, of: Fixture.points, times: LogUniformNoise(on: .variancePreserving, ratios: 0.1...10), for: model,
      loss: loss, using: &generator)
    return (objective, model)
  }

  @Test("Spec: F8 the loss of a pool is zero of an exact network and of no other")
  func pool() {
    let field = EmpiricalDenoiser(data: Fixture.points, on: .variancePreserving)
    let preconditioning = Preconditioning.edm(sigmaData: 0.9)
    let forms: [any TraceForm] = [SecondMomentForm(), NoiseMomentForm(), PosteriorVarianceForm(sigmaData: 0.9)]
    for form in forms {
      for loss in [TraceLoss.squared, .relative] {
        let exact = FunctionNetwork.exact(field, preconditioning, form: form, dimension: 2)
        let (objective, model) = Self.pooled(exact.twoHeaded, preconditioning, form, loss: loss)
        var generator = Generator(seed: 4)
        let batch = TrainingBatch(.zeros([64, 2]))
        #expect(objective.loss(of: model, on: batch, using: &generator).max().item < 1e-9)
        for part in 0..<2 {
          let wrong = FunctionNetwork(dimension: 2) { x, noise in
            let features = exact.features(x, noise: noise, condition: nil)
            return (features[Axis.all, ..<2] + (part == 0 ? 0.1 : 0), features[Axis.all, 2] + (part == 1 ? 0.1 : 0))
          }
          let other = TraceMatchedDenoiser(
            wrong.twoHeaded, preconditioning, form: form, on: .variancePreserving)
          let found = objective.loss(of: other, on: batch, using: &generator)
          #expect(found.shape == [64] && found.min().item > 1e-5)
          if part == 0 { expectClose(found, .full([64], 0.01), within: 1e-6) }
        }
      }
    }
  }

  @Test("a pool asks for no condition, and for a form that follows from the posterior")
  func mistakes() async {
    let condition = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let network = FunctionNetwork(dimension: 2) { x, _ in (x, .zeros([x.batch])) }
      let (objective, model) = TraceTrainingTests.pooled(
        network.twoHeaded, .edm(sigmaData: 1), NoiseMomentForm(), loss: .squared)
      var generator = Generator(seed: 1)
      _ = objective.loss(
        of: model, on: TrainingBatch(.zeros([2, 2]), condition: .zeros([2, 1])), using: &generator)
    }
    func words(_ result: ExitTest.Result?) -> String {
      String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    }
    #expect(words(condition).contains("PooledObjective: its posteriors are those of all the data"))
    let form = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let network = FunctionNetwork(dimension: 2) { x, _ in (x, .zeros([x.batch])) }
      _ = TraceTrainingTests.pooled(network.twoHeaded, .edm(sigmaData: 1), PredictionErrorForm(), loss: .squared)
    }
    #expect(words(form).contains("PooledObjective(200): needs points, and a form that does not ask the denoiser"))
  }
}
