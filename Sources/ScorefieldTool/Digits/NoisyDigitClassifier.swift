import Scorefield

extension NoisyClassifier {
  static let digitBatch = 128

  /// A small classifier of noisy digits, trained on the known ones at all noise levels that the model sees.
  ///
  /// - Parameters:
  ///   - digits: The digits.
  ///   - steps: How long.
  ///   - seed: What decides everything random.
  ///   - advanced: Told of each step.
  /// - Returns: The classifier with the averaged weights.
  /// - Throws: Where the data cannot be had.
  static func trained(
    on digits: DigitSet, steps: Int, seed: UInt64, _ advanced: (Int) -> Void
  ) throws -> NoisyClassifier {
    let images = digits.known(.float32)
    let data = TrainingData(TensorData(images), labels: .classes(digits.knownClasses!), seed: seed)
    var generator = Generator(seed: seed)
    let model = NoisyClassifier(
      MLP(.init(dimension: 64, width: 128, depth: 3), using: &generator), classes: 10,
      sigmaData: images.squared().mean().item.squareRoot(), on: .edm, using: &generator)
    var run = TrainingRun(
      model, ClassificationObjective(times: LogUniformNoise(on: .edm, ratios: DigitModel.ratios)),
      settings: TrainingSettings(
        learningRate: .cosine(peak: 2e-3, steps: steps + 1, warmup: min(50, steps / 5)), weightDecay: 0.01),
      averaging: ExponentialMovingAverage(of: model.parameters, decay: 0.99, warmsUp: true), generator: generator)
    var order = DataOrder(count: data.source.count, seed: seed)
    while run.step < steps {
      _ = run.advance(on: try data.batch(order.next(digitBatch), step: run.step))
      advanced(run.step)
    }
    return run.averagedModel
  }

  /// The share of the held-out digits whose class it knows at a noise level, in percent.
  func accuracy(on digits: DigitSet, at ratio: Double, seed: UInt64) -> Double {
    var generator = Generator(seed: seed)
    let images = digits.heldOut(.float32)
    let noisy = images + ratio * Tensor.normal(images.shape, type: .float32, using: &generator)
    let isRight = zip(logProbabilities(noisy, at: ratio).argmax(1).integers, digits.heldOutClasses!).map(==)
    return 100 * Statistics.mean(isRight.map { $0 ? 1 : 0 })
  }
}
