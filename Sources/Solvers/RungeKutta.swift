import ScorefieldFields
import ScorefieldTensorCore

/// An explicit Runge–Kutta method: a tableau.
///
///     kᵢ = v(x + h Σⱼ aᵢⱼ kⱼ, t + cᵢ h),   x_s = x + h Σᵢ bᵢ kᵢ,   h = s − t
public struct RungeKutta: Solver {
  /// The coefficients of a method; the first stage has no row in `a`, and `cᵢ = Σⱼ aᵢⱼ`.
  public struct Tableau: Sendable, Equatable {
    public let a: [[Double]]
    public let b: [Double]
    /// `c` of the stages after the first.
    let nodes: [Double]

    /// A tableau of the second row and those below it, and the weights.
    public init(a: [[Double]], b: [Double]) {
      guard a.count == b.count - 1, zip(a, 1...).allSatisfy({ $0.count == $1 }) else {
        fatalError("Tableau(a: rows of \(a.map(\.count)), b: \(b.count)): needs rows of 1…\(b.count - 1)")
      }
      guard abs(b.reduce(0, +) - 1) < 1e-12 else {
        fatalError("Tableau(b: \(b)): weights that do not sum to 1 solve another equation")
      }
      (self.a, self.b) = (a, b)
      // The step's own end exactly: beyond it the field may not be defined.
      nodes = a.map { $0.reduce(0, +) }.map { abs($0 - 1) < 1e-12 ? 1 : $0 }
    }

    /// Evaluations per step.
    public var stages: Int { b.count }
  }

  public let tableau: Tableau

  public init(_ tableau: Tableau) { self.tableau = tableau }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any VelocityField, memory: inout NoMemory
  ) -> Tensor {
    let slopes = tableau.slopes(x, from: t, to: s, in: field, first: field.velocity(x, at: t))
    return combination(x, s - t, tableau.b, slopes)
  }
}

extension RungeKutta.Tableau {
  /// The slopes `k` of a step whose first one is known.
  func slopes(
    _ x: Tensor, from t: Double, to s: Double, in field: any VelocityField, first: Tensor
  ) -> [Tensor] {
    let h = s - t
    var slopes = [first]
    for (row, node) in zip(a, nodes) {
      slopes.append(field.velocity(combination(x, h, row, slopes), at: node == 1 ? s : t + node * h))
    }
    return slopes
  }
}

extension RungeKutta.Tableau {
  /// Where the stages of a step ask the field, and when.
  package func stagePoints(
    _ x: Tensor, from t: Double, to s: Double, in field: any VelocityField
  ) -> (points: [Tensor], times: [Double]) {
    let h = s - t
    var (points, times, slopes) = ([x], [t], [Tensor]())
    for (row, node) in zip(a, nodes) {
      slopes.append(field.velocity(points[points.count - 1], at: times[times.count - 1]))
      points.append(combination(x, h, row, slopes))
      times.append(node == 1 ? s : t + node * h)
    }
    return (points, times)
  }
}

/// `x + h Σ wᵢ kᵢ`, without the terms of weight zero.
func combination(_ x: Tensor, _ h: Double, _ weights: [Double], _ slopes: [Tensor]) -> Tensor {
  zip(weights, slopes).reduce(x) { sum, term in term.0 == 0 ? sum : sum + (h * term.0) * term.1 }
}

extension Solver where Self == RungeKutta {
  /// Euler's method.
  ///
  /// - Order: 1. One evaluation per step.
  public static var euler: Self { .init(.init(a: [], b: [1])) }

  /// Heun's method, the explicit trapezoidal rule.
  ///
  /// - Order: 2. Two evaluations per step.
  public static var heun: Self { .init(.init(a: [[1]], b: [0.5, 0.5])) }

  /// The classical method.
  ///
  /// - Order: 4. Four evaluations per step.
  ///
  /// Source: Kutta 1901, Zeitschrift für Mathematik und Physik 46.
  public static var rk4: Self {
    .init(.init(a: [[0.5], [0, 0.5], [0, 0, 1]], b: [1 / 6, 1 / 3, 1 / 3, 1 / 6]))
  }
}
