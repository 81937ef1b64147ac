import Scorefield

/// What both figures ask: a model of the digits that knows their classes, and a classifier that knows nothing of it.
struct ConditionalDigits {
  let digits: DigitSet
  let model: TraceMatchedDenoiser
  let classifier: DigitClassifier
  let counter: EvaluationCounter
  let seed: UInt64

  static let heldOutCount = 297

  /// What was trained, how long, and how good the classifier is.
  struct Setup: Encodable {
    let known, heldOut: Int
    let network = "U-Net for 8 x 8 images, class dropout"
    let training: DigitModel.Budget
    let sampler = "heun"
    let samplerSteps = DigitModel.samplerSteps
    let from = DigitModel.likelihoodStart
    let to = DigitModel.likelihoodEnd
    let likelihood = "rk4:\(DigitModel.likelihoodSteps), trace head, uniform dequantisation"
    let classifier = "MLP 64-128-128-10 on clean digits"
    let classifierSteps = DigitClassifier.steps
    let isQuick: Bool
  }

  /// Real digits the model never saw, under their own classes.
  struct HeldOut: Encodable {
    let count: Int
    /// Of the classifier, in percent.
    let accuracy, accuracyError: Double
    let confidence: Double
    let bitsPerDim, bitsPerDimError: Double
    /// The root mean square difference, per pixel in [−1, 1], to the nearest known digit.
    let distance, distanceError: Double
  }

  init(_ digits: DigitSet, budget: DigitModel.Budget, seed: UInt64, progress: Progress) throws {
    (self.digits, self.seed) = (digits, seed)
    let counter = EvaluationCounter()
    classifier = try DigitClassifier.trained(on: digits, seed: seed) {
      counter.increment()
      progress.show($0, note: "classifier")
    }
    model = try DigitModel.trained(on: digits, conditional: true, budget: budget, seed: seed) { step, loss in
      counter.increment()
      progress.show(DigitClassifier.steps + step, note: "loss \(significant(loss, 3))")
    }.model
    self.counter = counter
  }

  /// The steps of both trainings.
  static func steps(_ budget: DigitModel.Budget) -> Int { DigitClassifier.steps + budget.steps }

  /// The model under the classes of a batch.
  func conditioned(on classes: [Int]) -> TraceMatchedDenoiser {
    model.conditioned(on: Tensor(classes).oneHot(10).to(.float32))
  }

  func guided(
    _ classes: [Int], scale: Double
  ) -> ClassifierFreeGuidance<TraceMatchedDenoiser, TraceMatchedDenoiser> {
    ClassifierFreeGuidance(conditioned(on: classes), over: model.conditioned(on: nil), scale: scale)
  }

  /// Samples under guidance, as grey levels; the same noise for every scale.
  func samples(_ classes: [Int], scale: Double) -> Tensor {
    var generator = Generator(seed: seed + 20)
    let noise = Tensor.normal([classes.count, 8, 8], type: .float32, using: &generator)
    // Without guidance the unconditional field has no say.
    let found =
      scale == 1
      ? DigitModel.samples(noise, under: conditioned(on: classes))
      : DigitModel.samples(noise, under: guided(classes, scale: scale))
    for _ in 0..<(found.evaluations * (scale == 1 ? 1 : 2)) { counter.increment() }
    return found.levels
  }

  /// Bits per dimension under a model, one number per image; the same dequantisation for every set of this size.
  func bits(of levels: Tensor, under model: any TracedDenoiser, networks: Int = 1) -> [Double] {
    let found = DigitModel.likelihood(of: levels, under: model, seed: seed + 30)
    for _ in 0..<(found.evaluations * networks) { counter.increment() }
    return found.bitsPerDim.doubles
  }

  /// The same by Hutchinson's estimate from one probe: noisier, and of the model's flow without a trace head's bias.
  func probedBits(of levels: Tensor, under model: TraceMatchedDenoiser) -> [Double] {
    bits(
      of: levels, under: WithTrace(model, Hutchinson(VJPFisher(model.denoiser), probes: 1, seed: seed + 31)),
      networks: 2)
  }

  /// The distance of each image to the nearest known digit, per pixel in [−1, 1].
  func distances(_ levels: Tensor) -> [Double] {
    let images = DigitSet.scale.scaled(levels, type: .float64).flattened
    return (images.distances(to: digits.known(.float64).flattened).min(-1) / 8).doubles
  }

  func heldOut() -> HeldOut {
    let (levels, classes) = (digits.heldOutLevels, digits.heldOutClasses!)
    let judged = classifier.judgement(of: levels, classes: classes)
    let share = Double(judged.isRight.count { $0 }) / Double(classes.count)
    let bits = bits(of: levels, under: conditioned(on: classes))
    let distances = distances(levels)
    return HeldOut(
      count: classes.count, accuracy: 100 * share,
      accuracyError: 100 * Statistics.standardError(ofShare: share, of: classes.count),
      confidence: Statistics.mean(judged.confidence), bitsPerDim: Statistics.mean(bits),
      bitsPerDimError: Statistics.standardError(bits), distance: Statistics.mean(distances),
      distanceError: Statistics.standardError(distances))
  }
}
