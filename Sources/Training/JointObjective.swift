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

  public init(_ denoising: DenoisingObjective, loss: TraceLoss = .relative, weight: Double = 1) {
    (self.denoising, self.traceLoss, self.traceWeight) = (denoising, loss, weight)
  }

  public func loss(
    of model: TraceMatchedDenoiser, on batch: TrainingBatch, using generator: inout Generator
  ) -> Tensor {
    let sample = denoising.sample(of: batch, on: model.schedule, using: &generator)
    let posterior = denoising.targets?.target(for: sample, condition: batch.condition)
    let type = model.network.trunk.elementType
    let question = sample.question(model.preconditioning, type: type)
    let (output, scalar) = model.network(
      question.x, noise: question.noise, condition: batch.condition?.to(type))
    let prediction = output.to(sample.point.elementType)
    let predicted = sample.conversion(prediction.detached(), from: model.preconditioning.head, to: .noise)
    let target = TraceTarget(
      model.form, at: sample, posterior: posterior ?? PosteriorTarget(data: sample.data, noise: sample.noise),
      predictedNoise: predicted, sigmaData: model.preconditioning.sigmaData)
    let trace = target.loss(of: scalar.to(sample.point.elementType), traceLoss)
    let main = denoising.loss(
      of: prediction, head: model.preconditioning.head, on: sample, posterior: posterior)
    return main + traceWeight * trace
  }
}
