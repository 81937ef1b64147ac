import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// The Fisher of any denoiser by differences of its estimates: no gradient, no record.
///
///     F v ≈ (v − α (|v|/h) (x̂₀(x + h v/|v|) − x̂₀(x)))/σ²              forward
///     F v ≈ (v − α (|v|/h) (x̂₀(x) − x̂₀(x − h v/|v|)))/σ²              backward
///     F v ≈ (v − α (|v|/2h) (x̂₀(x + h v/|v|) − x̂₀(x − h v/|v|)))/σ²   central
///
/// The step `h = r σ` is a length: it is the same for every direction. In units of σ, where a field's derivatives are of order
/// one, the error is about `r/2` forward and backward and `r²/6` central, plus `ε |x|/(r σ)` from roundings of relative size `ε`. It
/// is `∂x̂₀/∂x` that is applied, not its transpose.
///
/// At any step a difference is exactly the product with the Fisher's mean over the way it spans. Backward over a long way, that is the
/// way that a gradient is followed: a move of some σ against it meets the mean and not the Fisher where it began.
///
/// - Cost: Forward and backward: one evaluation per batch of points and one per product. Central: two per product.
public struct FiniteDifferenceFisher: FisherAccess {
  /// Where the estimates are compared.
  public enum Scheme: Sendable {
    /// At the point and ahead of it.
    case forward
    /// At the point and behind it.
    case backward
    /// Ahead of the point and behind it.
    case central
  }

  public let denoiser: any Denoiser
  public let scheme: Scheme
  /// `r = h/σ`; nil for what suits the element type.
  public let relativeStep: Double?
  /// The longest step of each sample, shape `[B]`, as far as it is longer than what suits the element type; nil for none.
  public let longest: Tensor?

  /// Differences of a denoiser.
  ///
  /// - Parameters:
  ///   - denoiser: The denoiser.
  ///   - scheme: Where its estimates are compared.
  ///   - relativeStep: `r = h/σ`. Where left out, to one side and central: 10⁻⁶ and 10⁻⁴ in `float64`, 0.01 and 0.05 in
  ///     `float32`, 0.1 and 0.2 in shorter types.
  ///   - longest: The longest step of each sample, shape `[B]`; steps that suit the element type are not cut.
  public init(
    _ denoiser: any Denoiser, scheme: Scheme = .forward, relativeStep: Double? = nil, longest: Tensor? = nil
  ) {
    guard relativeStep.map({ $0 > 0 && $0.isFinite }) ?? true else {
      fatalError("FiniteDifferenceFisher(relativeStep: \(relativeStep!)): needs a positive step")
    }
    (self.denoiser, self.scheme, self.relativeStep, self.longest) = (denoiser, scheme, relativeStep, longest)
  }

  /// Backward over as far as a gradient is followed: at most some σ, and no farther than where it would lead.
  ///
  /// Guided by these products over 8 σ samples reached no higher a loss than by the VJP, at 0.47 of its time (the guide page on reproducing the
  /// paper, figure 3).
  ///
  /// - Parameters:
  ///   - denoiser: The denoiser.
  ///   - reach: How far at most, in units of σ.
  ///   - distance: How far each sample may move, shape `[B]`: where its loss would be gone, as `PathEnd` knows; nil for no limit.
  /// - Returns: The differences.
  public static func secant(
    _ denoiser: any Denoiser, over reach: Double = 8, upTo distance: Tensor? = nil
  ) -> FiniteDifferenceFisher {
    FiniteDifferenceFisher(denoiser, scheme: .backward, relativeStep: reach, longest: distance)
  }

  public func fisher(at x: Tensor, time t: Double) -> At {
    guard longest.map({ $0.shape == [x.batch] }) ?? true else {
      fatalError(
        "FiniteDifferenceFisher.fisher(at: \(x.shape)): the longest steps are \(longest!.shape); needs [\(x.batch)]")
    }
    let sigma = denoiser.schedule.kernel(at: t).sigma
    let least = scheme.relativeStep(for: x.elementType) * sigma
    let step = relativeStep.map { $0 * sigma } ?? least
    let lengths =
      longest.map { $0.to(x.elementType).clamped(min(least, step), step) }
      ?? .full([1], step, type: x.elementType, on: x.device)
    return At(
      denoiser: denoiser, x: x, t: t,
      step: (scheme == .backward ? -lengths : lengths).reshaped([1, -1] + [Int](repeating: 1, count: x.rank - 1)),
      base: scheme == .central ? nil : denoiser.denoise(x, at: t))
  }

  /// The Fisher at a batch of points.
  public struct At: FisherMatvec {
    fileprivate let denoiser: any Denoiser
    fileprivate let x: Tensor
    fileprivate let t: Double
    /// `h`, of all points or of each, negative backward, shape `[1, B, 1, …]`.
    fileprivate let step: Tensor
    /// `x̂₀(x)`, for differences to one side.
    fileprivate let base: Tensor?

    public func matvec(_ v: Tensor) -> Tensor { matvecs(v.expanded(at: 0)).squeezed(0) }

    public func matvecs(_ block: Tensor) -> Tensor {
      let inner = [Int](repeating: 1, count: x.rank - 1)
      let length = block.vectors.norm(-1).reshaped([block.batch, x.batch] + inner)
      // A direction of length zero goes nowhere, and what it finds is multiplied by zero.
      let shift = block * (step / length.clamped(1e-30))
      let ahead = denoised(x + shift)
      let rate = base.map { (ahead - $0) / step } ?? (ahead - denoised(x - shift)) / (2 * step)
      return denoiser.schedule.kernel(at: t).fisherProduct(block, response: length * rate)
    }

    /// `x̂₀` at several points per element of the batch, `[n, B, …]`.
    private func denoised(_ points: Tensor) -> Tensor {
      denoiser.denoise(points.merged, at: t).reshaped(points.shape)
    }
  }
}

extension FiniteDifferenceFisher.Scheme {
  fileprivate func relativeStep(for type: ElementType) -> Double {
    switch (type, self) {
    case (.float64, .central): 1e-4
    case (.float64, _): 1e-6
    case (.float32, .central): 0.05
    case (.float32, _): 0.01
    case (_, .central): 0.2
    case (_, _): 0.1
    }
  }
}
