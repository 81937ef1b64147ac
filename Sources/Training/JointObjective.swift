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
  /// Whose trace the head learns.
  public enum TraceSource: Sendable {
    /// That of the denoiser's own targets.
    case denoising
    /// That of posteriors over a data set; a denoiser that generalises has another.
    case posteriors(StableTargets)
    /// That of the denoiser as it is, from a forward difference along one Rademacher probe `z`.
    ///
    ///     V ≈ d − (√d/r) zᵀ(ε̂(x + r σ z/√d) − ε̂(x)),   E_z[V] = d − σ² tr F
    ///
    /// A likelihood is one of the denoiser's own flow, and needs the trace of that. One more evaluation, no gradient.
    case denoiser(relativeStep: Double)
  }

  public let denoising: DenoisingObjective
  public let traceSource: TraceSource
  public let traceLoss: TraceLoss
  public let traceWeight: Double

  /// - Parameters:
  ///   - denoising: The denoiser's objective.
  ///   - traceSource: Whose trace the head learns.
  ///   - loss: How an error of the trace counts; noisy targets need ``TraceLoss/squared``.
  ///   - weight: What the trace weighs against the denoiser.
  public init(
    _ denoising: DenoisingObjective, trace traceSource: TraceSource = .denoising, loss: TraceLoss = .relative,
    weight: Double = 1
  ) {
    (self.denoising, self.traceSource, self.traceLoss, self.traceWeight) = (denoising, traceSource, loss, weight)
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
    let tracePosterior: PosteriorTarget
    switch traceSource {
    case .denoising: tracePosterior = posterior ?? PosteriorTarget(data: sample.data, noise: sample.noise)
    case .posteriors(let targets): tracePosterior = targets.target(for: sample, condition: batch.condition)
    case .denoiser(let step):
      tracePosterior = own(model.denoiser, at: sample, predicted, step, batch.condition, &generator)
    }
    let target = TraceTarget(
      model.form, at: sample, posterior: tracePosterior, predictedNoise: predicted,
      sigmaData: model.preconditioning.sigmaData)
    let trace = target.loss(of: scalar.to(sample.point.elementType), traceLoss)
    let main = denoising.loss(
      of: prediction, head: model.preconditioning.head, on: sample, posterior: posterior)
    return main + traceWeight * trace
  }

  /// What the denoiser itself believes.
  private func own(
    _ denoiser: NetworkDenoiser, at sample: PathSample, _ predicted: Tensor, _ step: Double, _ condition: Tensor?,
    _ generator: inout Generator
  ) -> PosteriorTarget {
    let probe = Tensor.rademacher(
      sample.noise.shape, type: sample.noise.elementType, on: sample.noise.device, using: &generator)
    return withoutGradient {
      let dimension = Double(sample.noise.count / max(sample.noise.batch, 1))
      let length = dimension.squareRoot()
      // A step of r σ in the point is one of r in the noise.
      let ahead = PathSample(
        data: sample.data, noise: sample.noise + (step / length) * probe, kernels: sample.kernels)
      let change = ahead.predictedNoise(of: denoiser, condition: condition) - predicted
      let residual = dimension - (length / step) * (probe * change).flattened.sum(-1)
      let ratio = sample.kernels.row(like: residual) { $0.sigma / $0.alpha }
      return PosteriorTarget(
        data: sample.conversion(predicted, from: .noise, to: .data), noise: predicted, residual: residual,
        spread: ratio.squared() * residual)
    }
  }
}
