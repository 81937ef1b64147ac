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
    let question = sample.question(model.preconditioning)
    let output = model.network.scalar(
      question.x.to(type), noise: question.noise.to(type), condition: batch.condition?.to(type))
    return traceLoss.loss(
      of: output.to(sample.point.elementType), form: model.form, on: sample,
      posterior: targets?.target(for: sample) ?? PosteriorTarget(data: sample.data, noise: sample.noise),
      predictedNoise: predicted)
  }
}

/// Denoiser and trace head together, on one trunk.
///
///     denoising loss + weight · trace loss
///
/// The trace head sees the denoiser's answer as a constant.
public struct JointObjective: Objective {
  public let denoising: DenoisingObjective
  public let traceLoss: TraceLoss
  public let traceWeight: Double

  public init(_ denoising: DenoisingObjective, loss: TraceLoss = .relative(), weight: Double = 1) {
    (self.denoising, self.traceLoss, self.traceWeight) = (denoising, loss, weight)
  }

  public func loss(
    of model: TraceMatchedDenoiser, on batch: TrainingBatch, using generator: inout Generator
  ) -> Tensor {
    let sample = denoising.sample(of: batch, on: model.schedule, using: &generator)
    let posterior = denoising.targets?.target(for: sample)
    let type = model.network.trunk.elementType
    let question = sample.question(model.preconditioning)
    let (output, scalar) = model.network(
      question.x.to(type), noise: question.noise.to(type), condition: batch.condition?.to(type))
    let prediction = output.to(sample.point.elementType)
    let predicted = sample.conversion(prediction.detached(), from: model.preconditioning.head, to: .noise)
    let trace = traceLoss.loss(
      of: scalar.to(sample.point.elementType), form: model.form, on: sample,
      posterior: posterior ?? PosteriorTarget(data: sample.data, noise: sample.noise), predictedNoise: predicted)
    let main = denoising.loss(
      of: prediction, head: model.preconditioning.head, on: sample, posterior: posterior)
    return main + traceWeight * trace
  }
}
