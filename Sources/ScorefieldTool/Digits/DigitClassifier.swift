import Scorefield

/// A small network that says which digit an image shows; it knows nothing of diffusion.
struct DigitClassifier: Module {
  private var layers: [Linear]
  private var last: Linear

  init(using generator: inout Generator) {
    layers = [Linear(64, 128, using: &generator), Linear(128, 128, using: &generator)]
    last = Linear(128, 10, using: &generator)
  }

  mutating func visit(_ visitor: inout ParameterVisitor) {
    visitor(&layers, "layers")
    visitor(&last, "last")
  }

  /// Logarithms of the classes' probabilities, `[B, 10]`, for images in [−1, 1].
  func logProbabilities(_ images: Tensor) -> Tensor {
    last(layers.reduce(images.to(.float32).flattened) { $1($0).silu() }).logSoftmax(1)
  }

  /// The probability of each image's own class, and whether it is the largest.
  func judgement(of levels: Tensor, classes: [Int]) -> (confidence: [Double], isRight: [Bool]) {
    let found = logProbabilities(DigitSet.scale.scaled(levels, type: .float32))
    let own = found.gathered(Tensor(classes).expanded(at: 1), 1).squeezed(1).exp().doubles
    return (own, zip(found.argmax(1).integers, classes).map(==))
  }

  /// Cross-entropy, of images with a little noise.
  struct Loss: Objective {
    let noise = 0.1

    func loss(of model: DigitClassifier, on batch: TrainingBatch, using generator: inout Generator) -> Tensor {
      let images = batch.data + noise * Tensor.normal(batch.data.shape, type: .float32, using: &generator)
      return -(model.logProbabilities(images) * batch.condition!).sum(-1)
    }
  }

  static let steps = 1200
  static let batch = 128

  /// Trained on the known digits.
  static func trained(on digits: DigitSet, seed: UInt64, _ advanced: (Int) -> Void) throws -> DigitClassifier {
    let data = TrainingData(
      TensorData(digits.known(.float32)), labels: .classes(digits.knownClasses!), seed: seed)
    var generator = Generator(seed: seed + 10)
    let model = DigitClassifier(using: &generator)
    var run = TrainingRun(
      model, Loss(),
      settings: TrainingSettings(learningRate: .cosine(peak: 2e-3, steps: steps + 1, warmup: 50), weightDecay: 0.01),
      averaging: ExponentialMovingAverage(of: model.parameters, decay: 0.99, warmsUp: true), generator: generator)
    var order = DataOrder(count: data.source.count, seed: seed + 10)
    while run.step < steps {
      _ = run.advance(on: try data.batch(order.next(batch), step: run.step))
      advanced(run.step)
    }
    return run.averagedModel
  }
}
