import ScorefieldTensorCore

/// The average with a constant decay, or with one that grows to it.
///
///     β(n) = β,   or min(β, (1 + n)/(10 + n)) with warm-up
///
/// Without warm-up the first parameters weigh `βⁿ`, which for a `β` close to 1 is long.
///
/// Source: Polyak & Juditsky 1992, doi:10.1137/0330046; the warm-up is TensorFlow's.
public struct ExponentialMovingAverage: WeightAverage {
  public var average: [Tensor]
  public let decay: Double
  public let warmsUp: Bool

  /// - Parameters:
  ///   - parameters: The parameters before the first step.
  ///   - decay: `β`.
  ///   - warmsUp: Whether the decay grows to `β`.
  public init(of parameters: [Tensor], decay: Double, warmsUp: Bool = false) {
    guard (0...1).contains(decay) else {
      fatalError("ExponentialMovingAverage(decay: \(decay)): a decay is between 0 and 1")
    }
    (average, self.decay, self.warmsUp) = (parameters, decay, warmsUp)
  }

  public func decay(at step: Int) -> Double {
    warmsUp ? min(decay, Double(1 + step) / Double(10 + step)) : decay
  }
}
