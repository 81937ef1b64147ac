import ScorefieldArrays
import ScorefieldTensorCore

/// What a model is trained on: numbered samples of one shape, as a model sees them.
public protocol DataSource: Sendable {
  /// How many samples there are.
  var count: Int { get }
  /// The shape of one.
  var sampleShape: [Int] { get }

  /// Samples, `float32`, shape `[positions.count, …]`.
  ///
  /// - Parameter positions: Their numbers, from 0; one may come more than once.
  /// - Returns: The samples, grey levels scaled to [−1, 1].
  /// - Throws: Where one cannot be read or is not finite.
  func batch(_ positions: [Int]) throws(ArrayFileError) -> Tensor
}
