import RealModule

/// The Gauss–Legendre rule on [−1, 1], and the integral of several functions over an interval by the one of 24 points.
///
/// Exact for polynomials up to degree `2n − 1`.
struct GaussLegendre: Sendable {
  let nodes, weights: [Double]

  private static let standard = GaussLegendre(24)

  /// The rule of `n` points.
  init(_ n: Int) {
    let rule = (1...n).map { index in
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
      return (node: x, weight: 2 / ((1 - x * x) * slope * slope))
    }
    (nodes, weights) = (rule.map(\.node), rule.map(\.weight))
  }

  /// `∫ fⱼ` of every function of a family.
  static func integrals(from a: Double, to b: Double, of functions: (Double) -> [Double]) -> [Double] {
    let (middle, half) = ((a + b) / 2, (b - a) / 2)
    return zip(standard.nodes, standard.weights).reduce([]) { sums, point in
      let values = functions(middle + half * point.0)
      return values.indices.map { (sums.isEmpty ? 0 : sums[$0]) + half * point.1 * values[$0] }
    }
  }

  /// `∫_{−1}^{ξᵢ}` of the polynomial that is 1 at the node `j` and 0 at the others, row `i`, column `j`.
  var antiderivatives: [[Double]] {
    let basis = LagrangeBasis(nodes)
    return nodes.map { Self.integrals(from: -1, to: $0, of: basis.values) }
  }
}
