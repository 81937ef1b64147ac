import ScorefieldFields
import ScorefieldTensorCore

/// The guided field's own trace, from those of its two parts.
///
///     F = F_u + w (F_c − F_u)
///
/// The Fisher is affine in the estimate, so it is guided as that is. Random estimates are the parts' own, row by row.
extension ClassifierFreeGuidance: TracedDenoiser where Conditional: TracedDenoiser, Unconditional: TracedDenoiser {
  public func denoiseWithTraces(_ x: Tensor, at t: Double) -> (data: Tensor, traces: Tensor) {
    let base = unconditional.denoiseWithTraces(x, at: t)
    let other = conditional.denoiseWithTraces(x, at: t)
    let weight = scale(at: t)
    return (combined(base.data, other.data, weight), combined(base.traces, other.traces, weight))
  }

  public func estimateCount(at x: Tensor, time t: Double) -> Int {
    max(conditional.estimateCount(at: x, time: t), unconditional.estimateCount(at: x, time: t))
  }
}
