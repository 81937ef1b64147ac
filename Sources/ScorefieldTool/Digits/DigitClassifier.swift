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
  func logProbabilities(_ images: Tensor) -> Tensor { last(features(images)[layers.count - 1]).logSoftmax(1) }

  /// What the hidden layers make of images in [−1, 1], the first layer first, each `[B, 128]`.
  func features(_ images: Tensor) -> [Tensor] {
    var (all, now) = ([Tensor](), images.to(.float32).flattened)
    for layer in layers {
      now = layer(now).silu()
      all.append(now)
    }
    return all
  }

  /// How far the styles of images are from those of others, as shares of the others' size.
  ///
  ///     |G(a) − G(b)|_F / |G(b)|_F,   G = diag(f₁ f₁ᵀ, f₂ f₂ᵀ)
  ///
  /// Each of the hidden layers gives one vector of features, whose Gram matrix has rank one, and so
  /// `|aaᵀ − bbᵀ|² = (|a − b|² |a + b|² + ((a − b)·(a + b))²)/2`: no matrix is formed and nothing cancels.
  ///
  /// - Parameters:
  ///   - images: In [−1, 1], shape `[B, 8, 8]`.
  ///   - styles: The others, in the same shape.
  /// - Returns: Shape `[B]`.
  func styleDistance(_ images: Tensor, to styles: Tensor) -> Tensor {
    var (apart, size): (Tensor?, Tensor?) = (nil, nil)
    for (a, b) in zip(features(images), features(styles)) {
      let (difference, sum) = (a - b, a + b)
      let squares =
        0.5 * (difference.squared().sum(-1) * sum.squared().sum(-1) + difference.dot(sum).squared())
      let own = b.squared().sum(-1).squared()
      (apart, size) = (apart.map { $0 + squares } ?? squares, size.map { $0 + own } ?? own)
    }
    return (apart! / size!).clamped(1e-12).sqrt()
  }

  /// The probability of each image's own class, and whether it is the largest.
  func judgement(of levels: Tensor, classes: [Int]) -> (confidence: [Double], isRight: [Bool]) {
    let found = logProbabilities(DigitSet.scale.scaled(levels, type: .float32))
    let own = found.entries(classes).exp().doubles
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
