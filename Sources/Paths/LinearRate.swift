import RealModule

/// The rate of noise `β(t) = β₀ + t (β₁ − β₀)`, and its integral.
struct LinearRate: Sendable {
  let first, last: Double

  init(_ first: Double, _ last: Double, of type: String) {
    guard first >= 0, last >= 0, first + last > 0, (first + last).isFinite else {
      fatalError("\(type)(betaMin: \(first), betaMax: \(last)): rates are not negative, and not both 0")
    }
    (self.first, self.last) = (first, last)
  }

  /// `∫₀ᵗ β`.
  func integral<S: Elementary>(_ t: S) -> S { t * (S(first) + 0.5 * t * S(last - first)) }

  /// The time at which the integral has a value.
  func time(atIntegral integral: Double) -> Double {
    // Not (√(β₀² + …) − β₀)/(β₁ − β₀), which cancels as t → 0.
    2 * integral / (first + (first * first + 2 * integral * (last - first)).squareRoot())
  }
}
