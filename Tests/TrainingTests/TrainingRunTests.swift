import Scorefield
import ScorefieldTestSupport
import Testing

/// Training as a value.
@Suite struct TrainingRunTests {
  typealias Run = TrainingRun<DenoisingObjective>

  static func run(
    seed: UInt64 = 1, settings: TrainingSettings = .init(learningRate: .cosine(peak: 0.01, steps: 20)),
    weighting: Weighting = .constant, decay: Double = 0.5
  ) -> Run {
    var generator = Generator(seed: seed)
    let model = NetworkDenoiser(
      MLP(.init(dimension: 2, width: 8, depth: 2), using: &generator), .edm(sigmaData: 1), on: .flowMatching)
    return TrainingRun(
      model, DenoisingObjective(times: UniformTimes(0.1...0.9), weighting: weighting), settings: settings,
      averaging: ExponentialMovingAverage(of: model.parameters, decay: decay), generator: generator)
  }

  static func batch(_ step: Int) -> TrainingBatch {
    TrainingBatch(SplitMix(seed: 100 + step).unit([32, 2]).to(.float32))
  }

  static func expectIdentical(_ a: Run, _ b: Run, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(a.state.map(\.name) == b.state.map(\.name), sourceLocation: sourceLocation)
    for (x, y) in zip(a.state, b.state) {
      #expect(x.tensor.isIdentical(to: y.tensor), "\(x.name)", sourceLocation: sourceLocation)
    }
  }

  static let settings: [TrainingSettings] = [
    .init(learningRate: .constant(0.01, warmup: 3)),
    .init(
      learningRate: .cosine(peak: 0.01, steps: 20), weightDecay: 0.1, beta2: 0.99,
      clipping: GradientClipping(maximumNorm: 0.1)),
    .init(learningRate: .constant(0.01), precision: .bfloat16),
  ]

  @Test("the same seed and batches give the same bits, another seed others", arguments: 0..<3)
  func same(_ index: Int) {
    let settings = Self.settings[index]
    var (a, b, other) = (
      Self.run(settings: settings), Self.run(settings: settings), Self.run(seed: 2, settings: settings)
    )
    for step in 0..<5 {
      let (x, y) = (a.advance(on: Self.batch(step)), b.advance(on: Self.batch(step)))
      #expect(x.loss == y.loss && x.gradientNorm == y.gradientNorm && x.isFinite)
      #expect(other.advance(on: Self.batch(step)).loss != x.loss)
    }
    Self.expectIdentical(a, b)
    #expect(a.step == 5)
  }

  @Test("a run restored from its state goes on with the same bits", arguments: 0..<3)
  func restored(_ index: Int) throws {
    let settings = Self.settings[index]
    var whole = Self.run(settings: settings)
    for step in 0..<6 { _ = whole.advance(on: Self.batch(step)) }
    // Through host memory, as a file has it.
    let state = Dictionary(uniqueKeysWithValues: whole.state.map { ($0.name, Tensor($0.tensor.hostArray)) })
    var copy = try Self.run(seed: 9, settings: settings).restored(from: state, step: whole.step, path: "state")
    Self.expectIdentical(copy, whole)
    for step in 6..<12 {
      let (x, y) = (whole.advance(on: Self.batch(step)), copy.advance(on: Self.batch(step)))
      #expect(x.loss == y.loss && x.learningRate == y.learningRate)
    }
    Self.expectIdentical(copy, whole)
    #expect(copy.step == 12)
    for (a, b) in zip(copy.averagedModel.parameters, whole.averagedModel.parameters) {
      #expect(a.isIdentical(to: b))
    }
  }

  @Test("a state that lacks something is refused, and says what")
  func missing() {
    let run = Self.run()
    let state = Dictionary(uniqueKeysWithValues: run.state.map { ($0.name, $0.tensor) })
    for (name, words) in [
      ("generator", "has no state of the generator or the optimiser"),
      ("optimizer.steps", "has no state of the generator or the optimiser"),
      ("average.network.last.bias", "average.network.last.bias"),
      ("optimizer.second.network.layers.0.weight", "optimizer.second.network.layers.0.weight"),
    ] {
      var less = state
      less[name] = nil
      #expect { _ = try run.restored(from: less, step: 0, path: "folder/state") } throws: { error in
        "\(error)".hasPrefix("folder/state") && "\(error)".contains(words)
      }
    }
  }

  @Test("a copy of a run goes its own way")
  func copies() {
    var run = Self.run()
    _ = run.advance(on: Self.batch(0))
    let kept = run
    let numbers = kept.state.map { $0.tensor.to(.float64).doubles }
    _ = run.advance(on: Self.batch(1))
    #expect(kept.state.map { $0.tensor.to(.float64).doubles } == numbers && kept.step == 1)
    var twin = kept
    _ = twin.advance(on: Self.batch(1))
    Self.expectIdentical(twin, run)
  }

  @Test("a loss that is no number changes nothing but the count of steps and the generator")
  func notFinite() {
    var run = Self.run()
    for step in 0..<3 { _ = run.advance(on: Self.batch(step)) }
    let before = run
    let bad = run.advance(on: TrainingBatch(.full([32, 2], .nan, type: .float32)))
    #expect(!bad.isFinite && run.step == 4)
    for (a, b) in zip(run.state, before.state) where a.name != "generator" {
      #expect(a.tensor.isIdentical(to: b.tensor), "\(a.name)")
    }
    let next = run.advance(on: Self.batch(4))
    #expect(next.isFinite && run.step == 5)
    // An infinite loss, too.
    var other = Self.run(weighting: Weighting { _ in .infinity })
    let start = other
    #expect(!other.advance(on: Self.batch(0)).isFinite)
    for (a, b) in zip(other.model.parameters, start.model.parameters) { #expect(a.isIdentical(to: b)) }
  }

  @Test("the averaged model is the average of the models after each step")
  func average() {
    var run = Self.run(decay: 0.8)
    var expected = run.model.parameters.map { $0.to(.float64) }
    for step in 0..<10 {
      _ = run.advance(on: Self.batch(step))
      expected = zip(expected, run.model.parameters).map { 0.8 * $0 + 0.2 * $1.to(.float64) }
    }
    for (found, wanted) in zip(run.averagedModel.parameters, expected) { expectClose(found, wanted, within: 1e-6) }
    #expect(zip(run.averagedModel.parameters, run.model.parameters).contains { relativeError($0, $1) > 1e-3 })
  }

  @Test("loss, gradient norm and learning rate are those of the step, before it")
  func numbers() {
    var run = Self.run(
      settings: .init(
        learningRate: .constant(0.01, warmup: 4), clipping: GradientClipping(maximumNorm: 1e-3)))
    let first = Self.run()
    var generator = Generator(seed: 1)
    _ = MLP(.init(dimension: 2, width: 8, depth: 2), using: &generator)
    let (loss, gradients) = valueAndGradients(at: first.model.parameters) { parameters in
      first.objective.loss(
        of: first.model.replacing(parameters: parameters), on: Self.batch(0), using: &generator
      ).mean()
    }
    let step = run.advance(on: Self.batch(0))
    #expect(step.loss == loss.item && step.learningRate == 0.0025)
    #expect(abs(step.gradientNorm / globalNorm(of: gradients) - 1) < 1e-6 && step.gradientNorm > 1e-2)
  }

  @Test("in half the precision parameters stay in full, and training is nearly the same")
  func precision() {
    func train(_ precision: ElementType?) -> (Run, [Double]) {
      var run = Self.run(settings: .init(learningRate: .constant(0.003), precision: precision))
      return (run, (0..<30).map { run.advance(on: Self.batch($0)).loss })
    }
    let ((half, losses), (_, expected)) = (train(.bfloat16), train(nil))
    #expect(half.model.parameters.allSatisfy { $0.elementType == .float32 })
    #expect(zip(losses, expected).allSatisfy { abs($0 / $1 - 1) < 0.05 } && losses != expected)
  }
}
