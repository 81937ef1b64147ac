import ScorefieldFields
import ScorefieldFisher
import ScorefieldPaths
import ScorefieldTensorCore

/// Regression of what a network predicts on what was drawn.
///
///     E_{x₀, ε, t} ω(t) |F(c_in x_t, c_noise) − (A x₀ + B ε)/s|²/d,   ω of the head's own units
///
/// Path, head and preconditioning are the model's, so that training and use cannot disagree; what remains to be chosen is
/// when and how much. The minimiser is the conditional mean, whatever the weighting.
///
/// Source: Lai et al. 2025, arXiv:2510.21890, eq. 6.2.5 and table 6.1; Karras et al. 2022, arXiv:2206.00364, eq. 8.
public struct DenoisingObjective: Objective {
  public let times: any TimeDistribution
  public let weighting: Weighting
  /// The head whose squared error is weighted; nil for the model's own.
  public let weighted: Head?
  /// Whether the times of a batch are spread evenly.
  public let isStratified: Bool
  /// Where posteriors come from that stand in for single draws; nil for single draws.
  public let targets: StableTargets?

  public init(
    times: any TimeDistribution, weighting: Weighting = .constant, of weighted: Head? = nil, stratified: Bool = true,
    targets: StableTargets? = nil
  ) {
    (self.times, self.weighting, self.weighted) = (times, weighting, weighted)
    (self.isStratified, self.targets) = (stratified, targets)
  }

  public func loss(
    of model: NetworkDenoiser, on batch: TrainingBatch, using generator: inout Generator
  ) -> Tensor {
    loss(
      of: model, on: sample(of: batch, on: model.schedule, using: &generator), condition: batch.condition)
  }

  /// Noised data at times of the distribution.
  public func sample(
    of batch: TrainingBatch, on schedule: any NoiseSchedule, using generator: inout Generator
  ) -> PathSample {
    let count = batch.data.batch
    let times =
      isStratified ? times.stratifiedTimes(count, using: &generator) : times.times(count, using: &generator)
    return PathSample(batch.data, at: times, on: schedule, using: &generator)
  }

  /// The loss of samples that were drawn already, shape `[B]`.
  public func loss(of model: NetworkDenoiser, on sample: PathSample, condition: Tensor? = nil) -> Tensor {
    let type = model.network.elementType
    let question = sample.question(model.preconditioning, type: type)
    let output = model.network(question.x, noise: question.noise, condition: condition?.to(type))
    return loss(
      of: output.to(sample.data.elementType), head: model.preconditioning.head, on: sample,
      posterior: targets?.target(for: sample, condition: condition))
  }

  /// The loss of a head's output, shape `[B]`.
  func loss(of output: Tensor, head: Head, on sample: PathSample, posterior: PosteriorTarget?) -> Tensor {
    let target = sample.target(
      head, data: posterior?.data ?? sample.data, noise: posterior?.noise ?? sample.noise)
    let error = (output - target).flattened.squared().mean(-1)
    return sample.kernels.row(like: error) { weight(of: head, at: $0) } * error
  }

  private func weight(of head: Head, at kernel: PerturbationKernel) -> Double {
    guard let weighted else { return weighting(at: kernel) }
    guard let share = head.lossWeight(matching: weighted, at: kernel) else {
      fatalError(
        "loss(at: \(kernel.time)): the weighted head is not defined at α = \(kernel.alpha), σ = \(kernel.sigma)")
    }
    return weighting(at: kernel) * share
  }
}
