import ScorefieldFields
import ScorefieldNetworks
import ScorefieldPaths
import ScorefieldTensorCore

/// The trace of the Fisher from one call of a network that was trained for it.
///
///     tr F = (d − V)/σ²,   V from `M = d (shift + scale y)` and the denoiser's x̂₀, by the form
///
/// - Cost: One evaluation of each network, no gradient.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, algorithm 1 and eq. 17, for any form of the moment and any denoiser.
public struct TraceMatching: FisherAccess, TracedDenoiser, Module {
  /// The denoiser the trace belongs to; it is not trained with it.
  public let denoiser: NetworkDenoiser
  /// The network with the scalar head; only that head is asked.
  public var network: TwoHeaded
  public let preconditioning: Preconditioning
  public let form: any TraceForm
  /// What is known of the points, shape `[1, c]` or `[B, c]`; nil for nothing.
  public var condition: Tensor?

  public var schedule: any NoiseSchedule { denoiser.schedule }

  public init(
    of denoiser: NetworkDenoiser, network: TwoHeaded, _ preconditioning: Preconditioning, form: any TraceForm,
    condition: Tensor? = nil
  ) {
    (self.denoiser, self.network, self.preconditioning) = (denoiser, network, preconditioning)
    (self.form, self.condition) = (form, condition)
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) { visitor(&network, "trace") }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor { denoiser.denoise(x, at: t) }

  public func denoiseWithTraces(_ x: Tensor, at t: Double) -> (data: Tensor, traces: Tensor) {
    let kernel = schedule.kernel(at: t)
    let data = denoiser.denoise(x, at: t)
    let question = preconditioning.question(x, at: kernel, condition: condition, type: network.trunk.elementType)
    let output = network.scalar(question.x, noise: question.noise, condition: question.condition).to(x.elementType)
    return (data, form.trace(output: output, x: x, data: data, at: kernel).expanded(at: 0))
  }

  public func fisher(at x: Tensor, time t: Double) -> LearnedTrace {
    LearnedTrace(value: denoiseWithTraces(x, at: t).traces[0])
  }
}

/// A trace that came out of a network.
public struct LearnedTrace: FisherTrace {
  let value: Tensor
  public func trace() -> Tensor { value }
}

extension TraceForm {
  /// `tr F` from a network's output, shape `[B]`.
  public func trace(output: Tensor, x: Tensor, data: Tensor, at kernel: PerturbationKernel) -> Tensor {
    let dimension = x.count / Swift.max(x.batch, 1)
    let normalization = normalization(at: kernel)
    let moment = Double(dimension) * (normalization.shift + normalization.scale * output)
    let noise = (x - kernel.alpha * data) / kernel.sigma
    return kernel.fisherTrace(
      residual: residual(moment: moment, data: data, noise: noise, at: kernel), dimension: dimension)
  }
}
