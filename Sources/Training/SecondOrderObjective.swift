import ScorefieldFields
import ScorefieldFisher
import ScorefieldPaths
import ScorefieldTensorCore

/// A denoiser whose own Jacobian is to have the right trace: fine-tuning to second order.
///
///     denoising loss + weight · |V_θ − V|/(d n),   V_θ = α tr ∂x̂₀/∂x,   V = (α²/σ²) tr C over the reference set
///
/// The likelihood of such a denoiser's flow is then closer to that of the data, at the price of derivatives in training.
///
/// - Cost: `d + 1` evaluations in forward mode, and their backward pass: for points of few dimensions.
///
/// Source: Lu et al. 2022, arXiv:2206.08265, theorem 2, for the trace and with posteriors as targets.
public struct SecondOrderObjective: Objective {
  public let denoising: DenoisingObjective
  public let weight: Double

  /// - Parameters:
  ///   - denoising: The denoiser's objective, with stable targets: these know the trace too.
  ///   - weight: What the trace weighs against it.
  public init(_ denoising: DenoisingObjective, weight: Double = 1) {
    guard denoising.targets != nil else {
      fatalError("SecondOrderObjective: needs stable targets, which know the trace")
    }
    (self.denoising, self.weight) = (denoising, weight)
  }

  public func loss(of model: NetworkDenoiser, on batch: TrainingBatch, using generator: inout Generator) -> Tensor {
    let sample = denoising.sample(of: batch, on: model.schedule, using: &generator)
    let posterior = denoising.targets!.target(for: sample, condition: batch.condition)
    let head = model.preconditioning.head
    let (type, dimension) = (model.network.elementType, sample.point.count / max(sample.point.batch, 1))

    func output(_ point: Tensor) -> Tensor {
      let question = PathSample(point: point, of: sample).question(model.preconditioning, type: type)
      return model.network(question.x, noise: question.noise, condition: batch.condition?.to(type))
        .to(point.elementType)
    }
    var data = Tensor.zeros(like: sample.point)
    var trace = Tensor.zeros([sample.point.batch], type: sample.point.elementType, on: sample.point.device)
    for axis in 0..<dimension {
      let direction = Tensor.zeros(like: sample.point.flattened)
        .replacing(with: 1, where: Tensor((0..<dimension).map { $0 == axis }, shape: [1, dimension]))
        .reshaped(sample.point.shape)
      let (value, slope) = jvp(at: sample.point, along: direction) {
        PathSample(point: $0, of: sample).conversion(output($0), from: head, to: .data)
      }
      data = value
      trace += slope.flattened[Axis.all, axis]
    }
    // The denoiser's own loss, from the same evaluation: the output is what the head makes of the data.
    let prediction = sample.conversion(data, from: .data, to: head)
    let main = denoising.loss(of: prediction, head: head, on: sample, posterior: posterior)
    let residual = sample.kernels.row(like: trace) { $0.alpha } * trace
    let target = TraceTarget(
      PosteriorVarianceForm(sigmaData: model.preconditioning.sigmaData), at: sample, posterior: posterior,
      predictedNoise: posterior.noise, sigmaData: model.preconditioning.sigmaData)
    return main + weight * target.loss(ofMoment: residual / Double(dimension))
  }
}
