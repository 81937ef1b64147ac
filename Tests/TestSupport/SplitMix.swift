import ScorefieldTensorCore

/// Numbers the golden scripts can make too: `Tests/Golden/splitmix.py`, bit for bit.
package struct SplitMix {
  private let seed: UInt64

  package init(seed: Int) { self.seed = UInt64(bitPattern: Int64(seed)) }

  /// Uniform on [0, 1).
  package func uniform(_ count: Int) -> [Double] {
    (1...UInt64(Swift.max(count, 1))).prefix(count).map { index in
      var z = seed &+ index &* 0x9E37_79B9_7F4A_7C15
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return Double((z ^ (z >> 31)) >> 11) * 0x1p-53
    }
  }

  package func uniform(_ shape: [Int]) -> Tensor { Tensor(uniform(shape.reduce(1, *)), shape: shape) }
  /// Uniform on [−1, 1).
  package func symmetric(_ shape: [Int]) -> Tensor { 2 * uniform(shape) - 1 }
  /// Mean 0 and variance 1.
  package func unit(_ shape: [Int]) -> Tensor { 3.0.squareRoot() * symmetric(shape) }
}
