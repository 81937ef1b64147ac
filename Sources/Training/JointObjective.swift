import ScorefieldFields
import ScorefieldFisher
import ScorefieldPaths
import ScorefieldTensorCore

/// Denoiser and trace head together, on one trunk.
///
///     denoising loss + weight · trace loss
///
/// The trace head sees the denoiser's answer as a constant.
public struct JointObjective: Objective {
  public let denoising: DenoisingObjective
  public let traceLoss: TraceLoss
  public let traceWeight: Double
  /// Where the trace's posteriors come from; nil for single draws.
  public let traceTargets: StableTargets?

  /// - Parameters:
  ///   - denoising: The denoiser's objective.
  ///   - traceTargets: Where the trace's posteriors come from; the denoiser's own targets where left out.
  ///   - loss: How an error of the trace counts.
  ///   - weight: What the trace weighs against the denoiser.
  public init(
    _ denoising: DenoisingObjective, traceTargets: StableTargets? = nil, loss: TraceLoss = .relative, weight: Double = 1
  ) {
    (self.denoising, self.traceLoss, self.traceWeight) = (denoising, loss, weight)
    self.traceTargets = traceTargets ?? denoising.targets
  }

  public func loss(
    of model: TraceMatchedDenoiser, on batch: TrainingBatch, using generator: inout Generator
  ) -> Tensor {
    let sample = denoising.sample(of: batch, on: model.schedule, using: &generator)
    let posterior = denoising.targets?.target(for: sample, condition: batch.condition)
    let tracePosterior =
      denoising.targets == nil ? traceTargets?.target(for: sample, condition: batch.condition) : posterior
    let type = model.network.trunk.elementType
    let question = sample.question(model.preconditioning, type: type)
    let (output, scalar) = model.network(
      question.x, noise: question.noise, condition: batch.condition?.to(type))
    let prediction = output.to(sample.point.elementType)
    let predicted = sample.conversion(prediction.detached(), from: model.preconditioning.head, to: .noise)
    let target = TraceTarget(
      model.form, at: sample, posterior: tracePosterior ?? PosteriorTarget(data: sample.data, noise: sample.noise),
      predictedNoise: predicted, sigmaData: model.preconditioning.sigmaData)
    let trace = target.loss(of: scalar.to(sample.point.elementType), traceLoss)
    let main = denoising.loss(
      of: prediction, head: model.preconditioning.head, on: sample, posterior: posterior)
    return main + traceWeight * trace
  }
}
