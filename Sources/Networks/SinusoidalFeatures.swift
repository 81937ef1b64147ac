import RealModule
import ScorefieldArrays
import ScorefieldTensorCore

/// A number as a row of sines and cosines, so that a network sees it at several resolutions.
///
///     c ↦ (c, sin ω₁c, …, sin ωₙc, cos ω₁c, …, cos ωₙc)
///
/// The frequencies are in geometric progression.
///
/// Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5, with the number itself beside.
public struct SinusoidalFeatures: Sendable {
  /// `ωᵢ`, shape `[n]`.
  private let frequencies: Tensor
  /// How many numbers come out.
  public let count: Int

  /// - Parameters:
  ///   - count: `n`.
  ///   - lowest: `ω₁`.
  ///   - highest: `ωₙ`.
  public init(_ count: Int, from lowest: Double, to highest: Double) {
    guard count > 0, lowest > 0, highest >= lowest else {
      fatalError("SinusoidalFeatures(\(count), from: \(lowest), to: \(highest)): needs 0 < lowest ≤ highest")
    }
    let ratio = count > 1 ? Double.log(highest / lowest) / Double(count - 1) : 0
    self.frequencies = Tensor((0..<count).map { lowest * .exp(ratio * Double($0)) })
    self.count = 2 * count + 1
  }

  /// - Parameter c: Shape `[B]`.
  /// - Returns: Shape `[B, 2n + 1]`, in the type of `c`, or `float32` where that is narrower.
  public func callAsFunction(_ c: Tensor) -> Tensor {
    let type = c.elementType
    let column = (type.bitWidth < 32 ? c.to(.float32) : c).expanded(at: 1)
    let phases = column * frequencies.to(c.device).to(column.elementType)
    return .concatenated([column, phases.sin(), phases.cos()], 1)
  }
}
