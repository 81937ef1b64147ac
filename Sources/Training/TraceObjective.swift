import ScorefieldFields
import ScorefieldFisher
import ScorefieldPaths
import ScorefieldTensorCore

/// Trace matching beside a denoiser that is trained already: regression of a moment of the posterior.
///
///     E_{x₀, ε, t} ℓ(y, M)
///
/// The form says what the moment is and how the trace follows from it; the loss says how an error counts.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, algorithm 1, for ``SecondMomentForm`` and ``TraceLoss/squared``.
public struct TraceObjective: Objective {
  public let times: any TimeDistribution
  public let traceLoss: TraceLoss
  /// Where posteriors come from that stand in for single draws; nil for single draws.
  public let targets: StableTargets?

  public init(times: any TimeDistribution, loss: TraceLoss = .squared, targets: StableTargets? = nil) {
    (self.times, self.traceLoss, self.targets) = (times, loss, targets)
  }

  public func loss(of model: TraceMatching, on batch: TrainingBatch, using generator: inout Generator) -> Tensor {
    let times = times.stratifiedTimes(batch.data.batch, using: &generator)
    let sample = PathSample(batch.data, at: times, on: model.schedule, using: &generator)
    let predicted = withoutGradient { sample.predictedNoise(of: model.denoiser, condition: batch.condition) }
    let type = model.network.trunk.elementType
    let question = sample.question(model.preconditioning, type: type)
    let output = model.network.scalar(
      question.x, noise: question.noise, condition: batch.condition?.to(type))
    let target = TraceTarget(
      model.form, at: sample,
      posterior: targets?.target(for: sample, condition: batch.condition)
        ?? PosteriorTarget(data: sample.data, noise: sample.noise),
      predictedNoise: predicted, sigmaData: model.preconditioning.sigmaData)
    return target.loss(of: output.to(sample.point.elementType), traceLoss)
  }
}
