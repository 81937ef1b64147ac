import RealModule

/// The normal distribution's quantiles.
enum NormalQuantile {
  static func share(below z: Double) -> Double { 0.5 * .erfc(-z / Double(2).squareRoot()) }

  /// By bisection, to the last bit.
  static func value(at u: Double) -> Double {
    var (low, high) = (-9.0, 9.0)
    while true {
      let middle = low + (high - low) / 2
      guard low < middle, middle < high else { return low }
      if share(below: middle) < u { low = middle } else { high = middle }
    }
  }
}
