import Scorefield

/// A denoiser of the digits with a trace head: what it is made by, how it is trained, and how it is asked.
struct DigitModel {
  let model: TraceMatchedDenoiser

  // MARK: Training

  /// How much is spent on training.
  struct Budget: Encodable {
    let steps: Int
    let batch: Int
    let learningRate = 2e-3
    let classDropout = 0.15
  }

  /// Noise levels the network sees: from below that of the likelihood to where nothing of a digit is left.
  static let ratios = 0.04...25.0

  static func configuration(sigmaData: Double, classes: Int?) -> ModelConfiguration {
    ModelConfiguration(
      schedule: ScheduleDescription("edm"), network: .unet(.grey8(conditionWidth: classes ?? 0)), sigmaData: sigmaData,
      trace: .posteriorVariance, sampleShape: [8, 8], levels: DigitSet.scale.count, classes: classes)
  }

  /// The training before its first step, and the batches it takes.
  ///
  /// The denoiser learns from single draws, and the trace head from the denoiser: a likelihood is one of its own flow.
  static func training(
    on digits: DigitSet, conditional: Bool, budget: Budget, seed: UInt64
  ) throws -> (run: TrainingRun<JointObjective>, data: TrainingData, configuration: ModelConfiguration) {
    let images = digits.known(.float32)
    let labels = conditional ? digits.knownClasses.map { Labels.classes($0) } : nil
    let data = TrainingData(TensorData(images), labels: labels, dropout: budget.classDropout, seed: seed)
    let configuration = configuration(
      sigmaData: images.squared().mean().item.squareRoot(), classes: labels.map { _ in 10 })
    var generator = Generator(seed: seed)
    guard case .traceMatched(let model) = try TrainedModel(configuration, using: &generator) else {
      fatalError("training(on:): the configuration has a trace")
    }
    let objective = JointObjective(
      DenoisingObjective(
        times: LogUniformNoise(on: .edm, ratios: ratios), weighting: .edm(sigmaData: configuration.sigmaData), of: .data
      ),
      trace: .denoiser(relativeStep: 0.02), loss: .squared)
    let settings = TrainingSettings(
      learningRate: .cosine(peak: budget.learningRate, steps: budget.steps + 1, warmup: min(200, budget.steps / 5)),
      beta2: 0.99)
    let run = TrainingRun(
      model, objective, settings: settings,
      averaging: ExponentialMovingAverage(of: model.parameters, decay: 0.998, warmsUp: true), generator: generator)
    return (run, data, configuration)
  }

  /// Trains without writing anything.
  ///
  /// - Parameters:
  ///   - digits: The digits.
  ///   - conditional: Whether it is told the class.
  ///   - budget: How long.
  ///   - seed: What decides everything random.
  ///   - advanced: Told the loss after each step.
  /// - Returns: The model with the averaged weights.
  /// - Throws: Where the loss is no number.
  static func trained(
    on digits: DigitSet, conditional: Bool, budget: Budget, seed: UInt64,
    _ advanced: (_ step: Int, _ loss: Double) -> Void
  ) throws -> DigitModel {
    var (run, data, _) = try training(on: digits, conditional: conditional, budget: budget, seed: seed)
    var order = DataOrder(count: data.source.count, seed: seed)
    while run.step < budget.steps {
      let step = run.advance(on: try data.batch(order.next(budget.batch), step: run.step))
      guard step.isFinite else {
        throw Failure(.ourBug, "training", "came to no number at step \(run.step)", repair: "try another --seed")
      }
      advanced(run.step, step.loss)
    }
    return DigitModel(model: run.averagedModel)
  }

  // MARK: Asking

  /// Where a likelihood of digits starts: about the noise that is as wide as a grey level.
  static let likelihoodStart = 0.05
  /// Where it ends: nothing of a digit is left.
  static let likelihoodEnd = 20.0
  static let likelihoodSteps = 16

  /// The likelihood of grey levels, uniformly dequantised, under any model, by RK4.
  static func likelihood(
    of levels: Tensor, under model: any TracedDenoiser, draws: Int = 1, steps: Int = likelihoodSteps, seed: UInt64
  ) -> Likelihood {
    var generator = Generator(seed: seed)
    return logLikelihood(
      of: levels, in: DigitSet.scale, dequantized: .uniform(draws: draws), using: &generator, under: model,
      type: .float32, from: likelihoodStart, to: likelihoodEnd, solver: .rungeKutta(.rk4, steps: steps))
  }

  static let samplerSteps = 24

  /// Samples as grey levels, by Heun's method on Karras's grid.
  ///
  /// - Parameters:
  ///   - noise: Standard normal, `[B, 8, 8]`.
  ///   - model: Whose flow is followed.
  /// - Returns: Grey levels, and how often the model was asked.
  static func samples(_ noise: Tensor, under model: any Denoiser) -> (levels: Tensor, evaluations: Int) {
    let grid = TimeGrid.karras(samplerSteps, over: .edm, from: likelihoodEnd, to: likelihoodStart)
    let found = sample(model, from: likelihoodEnd * noise, along: grid, with: RungeKutta.heun)
    return (DigitSet.scale.quantized(found.samples), found.evaluations)
  }
}
