import ScorefieldTensorCore

/// A running average of parameters over the steps of training, in which recent ones weigh more.
///
///     θ̄ ← β(n) θ̄ + (1 − β(n)) θ
///
/// A conformer says how `β` goes with the step. The average is all it remembers: to save it is to save that.
public protocol WeightAverage: Sendable {
  /// `θ̄`, in the order of the parameters.
  var average: [Tensor] { get set }
  /// `β(n)`: how much of the average stays at step `n`, counted from 1.
  func decay(at step: Int) -> Double
}

extension WeightAverage {
  /// Takes the parameters after a step into the average.
  ///
  /// - Parameters:
  ///   - parameters: `θ`.
  ///   - step: `n`, counted from 1.
  public mutating func update(with parameters: [Tensor], step: Int) {
    guard parameters.count == average.count, step > 0 else {
      fatalError(
        "update(with: \(parameters.count) parameters, step: \(step)): the average has \(average.count), "
          + "and steps are counted from 1")
    }
    guard !average.isEmpty else { return }
    average.makeUnique()
    interpolate.write(.tensors(average), .tensors(parameters), .double(1 - decay(at: step)))
  }
}

private let interpolate = Operator("aten::_foreach_lerp_", "Scalar", as: "update")
