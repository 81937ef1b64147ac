import ScorefieldFields
import ScorefieldNetworks
import ScorefieldTensorCore

/// A denoising loss in units of what is usual at its noise level, so that every level counts the same.
///
///     E e^{−u(t)} L + u(t)
///
/// At its optimum `u = log E[L | t]`, and the gradient of `L` is divided by its own size.
///
/// Source: Karras et al. 2024, arXiv:2312.02696, eq. 21; Kendall, Gal & Cipolla 2018, arXiv:1705.07115.
public struct UncertaintyWeightedObjective: Objective {
  /// A denoiser with what is known of its losses.
  public struct Model: Module {
    public var denoiser: NetworkDenoiser
    public var uncertainty: LossUncertainty

    public init(_ denoiser: NetworkDenoiser, uncertainty: LossUncertainty) {
      (self.denoiser, self.uncertainty) = (denoiser, uncertainty)
    }

    public mutating func visit(_ visitor: inout ParameterVisitor) {
      visitor(&denoiser, "denoiser")
      visitor(&uncertainty, "uncertainty")
    }
  }

  public let denoising: DenoisingObjective

  public init(_ denoising: DenoisingObjective) { self.denoising = denoising }

  public func loss(of model: Model, on batch: TrainingBatch, using generator: inout Generator) -> Tensor {
    let sample = denoising.sample(of: batch, on: model.denoiser.schedule, using: &generator)
    return loss(of: model, on: sample, condition: batch.condition)
  }

  /// The loss of samples that were drawn already, shape `[B]`.
  public func loss(of model: Model, on sample: PathSample, condition: Tensor? = nil) -> Tensor {
    let loss = denoising.loss(of: model.denoiser, on: sample, condition: condition)
    let noise = sample.kernels.row(like: loss) { model.denoiser.preconditioning.noise(at: $0) }
    let usual = model.uncertainty(noise).to(loss.elementType)
    return (-usual).exp() * loss + usual
  }
}
