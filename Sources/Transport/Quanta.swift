import ScorefieldTensorCore

/// Two sets of weights as whole numbers of one quantum, with equal sums, so that sums, differences and ties of masses are exact.
struct Quanta {
  let sources, targets: [Int]
  var total: Int { sources.reduce(0, +) }

  /// The weights of `n` sources and `m` targets, equal where left out.
  ///
  /// Equal ones of both sides are exact; others are rounded to 2⁻⁶⁰ of their sum.
  init(_ operation: String, _ a: Tensor?, _ n: Int, _ b: Tensor?, _ m: Int) {
    guard n > 0, m > 0, a.map({ $0.shape == [n] }) ?? true, b.map({ $0.shape == [m] }) ?? true else {
      let shapes = [a, b].map { $0.map { "\($0.shape)" } ?? "equal" }
      fatalError("\(operation)(from: \(shapes[0]), to: \(shapes[1])): needs weights [\(n)] and [\(m)], neither empty")
    }
    if a == nil && b == nil {
      sources = Array(repeating: m, count: n)
      targets = Array(repeating: n, count: m)
    } else {
      sources = Self.rounded(checkedWeights(operation, a, n))
      targets = Self.rounded(checkedWeights(operation, b, m))
    }
  }

  /// One quantum everywhere.
  init(ones count: Int) {
    sources = Array(repeating: 1, count: count)
    targets = sources
  }

  /// Multiples of 2⁻⁶⁰; the largest weight takes what rounding left.
  private static func rounded(_ weights: [Double]) -> [Int] {
    let whole = 1 << 60
    var quanta = weights.map { Int(($0 * Double(whole)).rounded()) }
    quanta[weights.indices.max { weights[$0] < weights[$1] }!] += whole - quanta.reduce(0, +)
    return quanta
  }
}

/// Weights that sum to 1.
func checkedWeights(_ operation: String, _ weights: Tensor?, _ count: Int) -> [Double] {
  guard let weights else { return Array(repeating: 1 / Double(count), count: count) }
  let values = weights.doubles
  guard let largest = values.max(), largest > 0, largest < .infinity, values.allSatisfy({ $0 >= 0 }) else {
    fatalError("\(operation)(weights: \(weights.shape)): weights must be finite, none negative and not all zero")
  }
  // Relative to the largest, or the sum could overflow.
  let scaled = values.map { $0 / largest }
  let sum = scaled.reduce(0, +)
  return scaled.map { $0 / sum }
}
