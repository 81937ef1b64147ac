import ScorefieldFields
import ScorefieldNetworks
import ScorefieldPaths
import ScorefieldTensorCore

/// A denoiser whose network has a second head for the trace of its Fisher: both from one evaluation.
///
/// - Cost: One evaluation of the network; the head's share is small.
public struct TraceMatchedDenoiser: FisherAccess, TracedDenoiser, Module {
  public var network: TwoHeaded
  public let preconditioning: Preconditioning
  public let form: any TraceForm
  public let schedule: any NoiseSchedule
  /// What is known of the points, shape `[1, c]` or `[B, c]`; nil for nothing.
  public var condition: Tensor?

  public init(
    _ network: TwoHeaded, _ preconditioning: Preconditioning, form: any TraceForm, on schedule: any NoiseSchedule,
    condition: Tensor? = nil
  ) {
    (self.network, self.preconditioning, self.form) = (network, preconditioning, form)
    (self.schedule, self.condition) = (schedule, condition)
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) { visitor(&network, "network") }

  /// The denoiser alone.
  public var denoiser: NetworkDenoiser {
    NetworkDenoiser(network.trunk, preconditioning, on: schedule, condition: condition)
  }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor { denoiser.denoise(x, at: t) }

  public func denoiseWithTraces(_ x: Tensor, at t: Double) -> (data: Tensor, traces: Tensor) {
    let kernel = schedule.kernel(at: t)
    let question = preconditioning.question(x, at: kernel, condition: condition, type: network.trunk.elementType)
    let (output, scalar) = network(question.x, noise: question.noise, condition: question.condition)
    let data = preconditioning.data(output.to(x.elementType), at: x, kernel)
    return (data, form.trace(output: scalar.to(x.elementType), x: x, data: data, at: kernel).expanded(at: 0))
  }

  public func fisher(at x: Tensor, time t: Double) -> LearnedTrace {
    LearnedTrace(value: denoiseWithTraces(x, at: t).traces[0])
  }

  /// The same model under another condition, shape `[1, c]` or `[B, c]`.
  public func conditioned(on condition: Tensor?) -> TraceMatchedDenoiser {
    var copy = self
    copy.condition = condition
    return copy
  }
}
