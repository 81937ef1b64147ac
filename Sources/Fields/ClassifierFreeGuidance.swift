import ScorefieldPaths
import ScorefieldTensorCore

/// Classifier-free guidance, what a condition changes made larger or smaller.
///
///     x̂₀ = u + w (c − u)
///
/// A guided denoiser is a denoiser, so every solver accepts it: 0 is the unconditional one, 1 the conditional one. Elsewhere it
/// is no longer the posterior mean of any data: its likelihood is that of the guided flow.
///
/// - Cost: One evaluation of each denoiser.
///
/// Source: Ho & Salimans 2022, arXiv:2207.12598, eq. 6, whose scale is `w − 1`.
public struct ClassifierFreeGuidance<Conditional: Denoiser, Unconditional: Denoiser>: Denoiser {
  /// `c`.
  public let conditional: Conditional
  /// `u`, on the same schedule.
  public let unconditional: Unconditional
  /// `w`.
  public let scale: Double
  public var schedule: any NoiseSchedule { conditional.schedule }

  public init(_ conditional: Conditional, over unconditional: Unconditional, scale: Double) {
    guard scale.isFinite else { fatalError("ClassifierFreeGuidance(scale: \(scale)): must be finite") }
    (self.conditional, self.unconditional, self.scale) = (conditional, unconditional, scale)
  }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor {
    combined(unconditional.denoise(x, at: t), conditional.denoise(x, at: t))
  }

  public func denoise(_ points: [Tensor], at times: [Double]) -> [Tensor] {
    zip(unconditional.denoise(points, at: times), conditional.denoise(points, at: times)).map(combined)
  }

  /// `u + w (c − u)` of anything that is affine in the estimates.
  package func combined(_ unconditional: Tensor, _ conditional: Tensor) -> Tensor {
    unconditional + scale * (conditional - unconditional)
  }
}
