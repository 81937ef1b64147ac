import RealModule
import ScorefieldArrays
import ScorefieldTensorCore

/// Data that are integers, `0…L−1`, and the scale a model sees them on.
///
///     x = 2v/(L − 1) − 1
public struct GreyLevels: Sendable, Equatable {
  /// `L`.
  public let count: Int

  public init(_ count: Int = 256) {
    guard count >= 2 else { fatalError("GreyLevels(\(count)): needs at least two levels") }
    self.count = count
  }

  /// The data scaled to [−1, 1].
  public func scaled(_ levels: Tensor, type: ElementType = .float64) -> Tensor {
    let values = levels.to(.float64)
    guard values.count == 0 || values.min().item >= 0 && values.max().item <= Double(count - 1) else {
      fatalError("scaled(\(levels.shape)): grey levels lie between 0 and \(count - 1)")
    }
    return ((2 * values - Double(count - 1)) / Double(count - 1)).to(type)
  }

  /// The nearest levels of scaled data, `int64`; what lies outside goes to the ends.
  public func quantized(_ x: Tensor) -> Tensor {
    ((x.to(.float64) + 1) * (0.5 * Double(count - 1))).rounded().clamped(0, Double(count - 1)).to(.int64)
  }

  /// Half the width of a level's bin on the scale of `x`, `1/(L − 1)`.
  public var halfBin: Double { 1 / Double(count - 1) }
  /// `log₂((L − 1)/2)`: what the scaling adds to bits per dimension.
  public var bitsOfScaling: Double { .log(0.5 * Double(count - 1)) / .log(2) }
}
