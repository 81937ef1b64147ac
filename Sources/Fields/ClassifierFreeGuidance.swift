import ScorefieldPaths
import ScorefieldTensorCore

/// Classifier-free guidance, what a condition changes made larger or smaller.
///
///     x̂₀ = u + w (c − u)
///
/// A guided denoiser is a denoiser, so every solver accepts it: 0 is the unconditional one, 1 the conditional one, to the last bit. Elsewhere
/// it is no longer the posterior mean of any data: its likelihood is that of the guided flow.
///
/// - Cost: One evaluation of each denoiser; of one at the weights 0 and 1.
///
/// Source: Ho & Salimans 2022, arXiv:2207.12598, eq. 6, whose scale is `w − 1`.
public struct ClassifierFreeGuidance<Conditional: Denoiser, Unconditional: Denoiser>: Denoiser {
  /// `c`.
  public let conditional: Conditional
  /// `u`, on the same schedule.
  public let unconditional: Unconditional
  /// `w`.
  public let scale: GuidanceScale
  public var schedule: any NoiseSchedule { conditional.schedule }

  public init(_ conditional: Conditional, over unconditional: Unconditional, scale: Double) {
    self.init(conditional, over: unconditional, scale: .constant(scale))
  }

  public init(_ conditional: Conditional, over unconditional: Unconditional, scale: GuidanceScale) {
    (self.conditional, self.unconditional, self.scale) = (conditional, unconditional, scale)
  }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor {
    switch scale(at: t) {
    case 0: unconditional.denoise(x, at: t)
    case 1: conditional.denoise(x, at: t)
    case let weight: combined(unconditional.denoise(x, at: t), conditional.denoise(x, at: t), weight)
    }
  }

  public func denoise(_ points: [Tensor], at times: [Double]) -> [Tensor] {
    let weights = times.map { scale(at: $0) }
    if weights.allSatisfy({ $0 == 0 }) { return unconditional.denoise(points, at: times) }
    if weights.allSatisfy({ $0 == 1 }) { return conditional.denoise(points, at: times) }
    let (base, other) = (unconditional.denoise(points, at: times), conditional.denoise(points, at: times))
    return weights.indices.map { combined(base[$0], other[$0], weights[$0]) }
  }

  /// `u + w (c − u)` of anything that is affine in the estimates; `u` at 0 and `c` at 1 to the last bit.
  package func combined(_ unconditional: Tensor, _ conditional: Tensor, _ weight: Double) -> Tensor {
    weight == 1 ? conditional : unconditional + weight * (conditional - unconditional)
  }
}
