import ScorefieldFields
import ScorefieldTensorCore

/// Cross-entropy of a classifier of noisy states.
///
///     E_{(x₀, c), ε, t} −log p(c | α x₀ + σ ε, t)
///
/// Its minimiser is the posterior of the class given the noisy state, whatever the times. A sample whose condition is hidden, a row of
/// zeros, counts nothing.
///
/// - Cost: One evaluation of the classifier.
///
/// Source: Lai et al. 2025, arXiv:2510.21890, eq. 8.2.3; Dhariwal & Nichol 2021, arXiv:2105.05233, section 4.
public struct ClassificationObjective: Objective {
  public let times: any TimeDistribution

  public init(times: any TimeDistribution) { self.times = times }

  /// - Parameters:
  ///   - model: The classifier.
  ///   - batch: Data, and their classes as rows of zeros with a one, shape `[B, K]`.
  ///   - generator: Where times and noise come from.
  /// - Returns: The loss of each sample, shape `[B]`.
  public func loss(
    of model: NoisyClassifier, on batch: TrainingBatch, using generator: inout Generator
  ) -> Tensor {
    guard let classes = batch.condition, classes.shape == [batch.data.batch, model.classCount] else {
      fatalError(
        "ClassificationObjective.loss(on: \(batch.data.shape)): the classes are \(batch.condition.map { "\($0.shape)" } ?? "none"); "
          + "needs [\(batch.data.batch), \(model.classCount)]")
    }
    let times = times.stratifiedTimes(batch.data.batch, using: &generator)
    let sample = PathSample(batch.data, at: times, on: model.schedule, using: &generator)
    let question = sample.question(model.preconditioning, type: model.trunk.elementType)
    let logits = model.logits(question.x, noise: question.noise)
    return -(logits.logSoftmax(-1) * classes.to(logits.elementType)).sum(-1)
  }
}
