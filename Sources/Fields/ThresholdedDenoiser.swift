import ScorefieldPaths
import ScorefieldTensorCore

/// A denoiser whose estimate is kept in the range of the data, whatever guidance makes of it.
///
/// A thresholded denoiser is a denoiser, so every solver accepts it; those that go by the noise see the one that belongs
/// to the kept estimate.
///
/// - Cost: That of the denoiser.
///
/// Source: Saharia et al. 2022, arXiv:2205.11487, section 2.3.
public struct ThresholdedDenoiser<Base: Denoiser>: Denoiser {
  /// How an estimate is brought into the range.
  public enum Threshold: Sendable, Equatable {
    /// Each number outside is moved to the range's end.
    case fixed
    /// Each sample is cut at a quantile of its magnitudes and divided by it, where that lies outside.
    ///
    ///     ς = max(1, Q_p(|x̂₀|/m)),   x̂₀ ← clip(x̂₀, −ςm, ςm)/ς
    case dynamic(quantile: Double = 0.995)
  }

  public let base: Base
  public let threshold: Threshold
  /// `m`: data lie in [−m, m].
  public let magnitude: Double
  public var schedule: any NoiseSchedule { base.schedule }

  public init(_ base: Base, _ threshold: Threshold = .dynamic(), magnitude: Double = 1) {
    guard magnitude > 0, magnitude.isFinite else {
      fatalError("ThresholdedDenoiser(magnitude: \(magnitude)): must be positive and finite")
    }
    if case .dynamic(let quantile) = threshold, !(0...1).contains(quantile) {
      fatalError("ThresholdedDenoiser(quantile: \(quantile)): must lie in [0, 1]")
    }
    (self.base, self.threshold, self.magnitude) = (base, threshold, magnitude)
  }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor { kept(base.denoise(x, at: t)) }
  public func denoise(_ points: [Tensor], at times: [Double]) -> [Tensor] {
    base.denoise(points, at: times).map(kept)
  }

  private func kept(_ data: Tensor) -> Tensor {
    switch threshold {
    case .fixed: return data.clamped(-magnitude, magnitude)
    case .dynamic(let quantile):
      let rows = data.flattened
      let excess = (rows.abs().quantile(quantile, 1, keeping: true) / magnitude).clamped(1)
      return (rows / excess).clamped(-magnitude, magnitude).reshaped(data.shape)
    }
  }
}
