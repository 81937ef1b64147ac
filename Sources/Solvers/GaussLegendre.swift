import RealModule

/// The integral of several functions over an interval, by the Gauss–Legendre rule of 24 points.
///
/// Exact for polynomials up to degree 47.
struct GaussLegendre {
  private static let rule: [(node: Double, weight: Double)] = {
    let n = 24
    return (1...n).map { index in
      // Newton's method on the Legendre polynomial, from Tricomi's approximation of its roots.
      var x = Double.cos(.pi * (Double(index) - 0.25) / (Double(n) + 0.5))
      var slope = 0.0
      for _ in 0..<20 {
        var (before, value) = (1.0, x)
        for k in 2...n {
          (before, value) = (value, (Double(2 * k - 1) * x * value - Double(k - 1) * before) / Double(k))
        }
        slope = Double(n) * (before - x * value) / (1 - x * x)
        x -= value / slope
      }
      return (x, 2 / ((1 - x * x) * slope * slope))
    }
  }()

  /// `∫ fⱼ` of every function of a family.
  static func integrals(from a: Double, to b: Double, of functions: (Double) -> [Double]) -> [Double] {
    let (middle, half) = ((a + b) / 2, (b - a) / 2)
    return rule.reduce([]) { sums, point in
      let values = functions(middle + half * point.node)
      return values.indices.map { (sums.isEmpty ? 0 : sums[$0]) + half * point.weight * values[$0] }
    }
  }
}
