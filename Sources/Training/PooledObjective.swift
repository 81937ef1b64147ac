import ScorefieldFields
import ScorefieldFisher
import ScorefieldPaths
import ScorefieldTensorCore

/// Denoiser and trace head together, from noised points whose posteriors were computed once, before training.
///
///     E |F − F*|²/d + weight · ℓ(trace)
///
/// Posteriors cost more than a small network's step: a pool of them is drawn from again and again. Its points are those of
/// the whole data set, so of a batch only the size counts.
///
/// - Cost: The pool's posteriors once, `O(P·N·d)`; then steps without any.
public struct PooledObjective: Objective {
  public let traceLoss: TraceLoss
  public let traceWeight: Double
  /// What the network is given, and what its two heads are to say; one row per point of the pool.
  private let inputs, noise, outputs: Tensor
  private let traces: TraceTarget

  /// - Parameters:
  ///   - count: The size of the pool.
  ///   - data: The data, shape `[N, …]`, `float32`.
  ///   - times: How their times are drawn.
  ///   - model: What will be trained: its path, its preconditioning and the form of its trace count, and none of its
  ///     parameters. The form's moment must follow from the posterior alone.
  ///   - loss: How an error of the trace counts.
  ///   - weight: What the trace weighs against the denoiser.
  ///   - generator: Where times and noise come from.
  public init(
    _ count: Int, of data: Tensor, times: any TimeDistribution, for model: TraceMatchedDenoiser,
    loss: TraceLoss = .relative, weight: Double = 1, using generator: inout Generator
  ) {
    guard count > 0, !(model.form is PredictionErrorForm) else {
      fatalError("PooledObjective(\(count)): needs points, and a form that does not ask the denoiser")
    }
    (traceLoss, traceWeight) = (loss, weight)
    let targets = StableTargets(over: data)
    var parts: [(inputs: Tensor, noise: Tensor, outputs: Tensor)] = []
    var (samples, posteriors): ([PathSample], [PosteriorTarget]) = ([], [])
    for first in stride(from: 0, to: count, by: Self.partSize) {
      let size = min(Self.partSize, count - first)
      let rows = data.selecting(
        Tensor.randomIntegers([size], in: 0..<data.batch, using: &generator).to(data.device))
      let sample = PathSample(
        rows, at: times.stratifiedTimes(size, using: &generator), on: model.schedule, using: &generator)
      let posterior = targets.target(for: sample)
      let question = sample.question(model.preconditioning, type: sample.point.elementType)
      parts.append(
        (
          question.x, question.noise,
          sample.target(model.preconditioning.head, data: posterior.data, noise: posterior.noise)
        ))
      samples.append(sample)
      posteriors.append(posterior)
    }
    func joined(_ tensors: [Tensor]) -> Tensor { .concatenated(tensors) }
    (inputs, noise) = (joined(parts.map(\.inputs)), joined(parts.map(\.noise)))
    outputs = joined(parts.map(\.outputs))
    // Over the whole pool, so that the size of a trace at a noise level is known well.
    let all = PathSample(
      data: joined(samples.map(\.data)), noise: joined(samples.map(\.noise)),
      kernels: KernelBatch(samples.flatMap(\.kernels.kernels)))
    let posterior = PosteriorTarget(
      data: joined(posteriors.map(\.data)), noise: joined(posteriors.map(\.noise)),
      residual: joined(posteriors.map { $0.residual! }), spread: joined(posteriors.map { $0.spread! }))
    traces = TraceTarget(
      model.form, at: all, posterior: posterior, predictedNoise: posterior.noise,
      sigmaData: model.preconditioning.sigmaData)
  }

  private static let partSize = 1 << 16

  public func loss(
    of model: TraceMatchedDenoiser, on batch: TrainingBatch, using generator: inout Generator
  ) -> Tensor {
    let positions = Tensor.randomIntegers([batch.data.batch], in: 0..<inputs.batch, using: &generator)
      .to(inputs.device)
    guard batch.condition == nil else {
      fatalError("PooledObjective: its posteriors are those of all the data, and know of no condition")
    }
    let type = model.network.trunk.elementType
    let (output, scalar) = model.network(
      inputs.selecting(positions).to(type),
      noise: noise.selecting(positions).to(Preconditioning.noiseType(beside: type)))
    let error = (output.to(outputs.elementType) - outputs.selecting(positions)).flattened.squared().mean(-1)
    return error + traceWeight * traces.selecting(positions).loss(of: scalar.to(error.elementType), traceLoss)
  }
}
