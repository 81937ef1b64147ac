import ScorefieldFields
import ScorefieldTensorCore

/// An explicit Runge–Kutta method with a second set of weights, whose distance from the first estimates the error.
///
///     error = h Σᵢ (bᵢ − b̂ᵢ) kᵢ
///
/// Where the last stage is the step's own end, its slope is the first of the next step (FSAL).
public struct EmbeddedRungeKutta: EmbeddedSolver {
  public typealias Field = any VelocityField

  public let tableau: RungeKutta.Tableau
  /// `b̂`, the weights of the other solution.
  public let otherWeights: [Double]
  public let estimateOrder: Int
  private let endsWithSlope: Bool

  /// The slope at the state the next step starts from.
  public struct Memory: Sendable {
    fileprivate var slope: (time: Double, value: Tensor)?
  }

  /// A method from its tableaux.
  ///
  /// - Parameters:
  ///   - tableau: The stages, and the weights of the solution that is kept.
  ///   - otherWeights: The weights of the solution it is compared with.
  ///   - estimateOrder: The smaller of the two orders.
  public init(_ tableau: RungeKutta.Tableau, comparedWith otherWeights: [Double], estimateOrder: Int) {
    guard otherWeights.count == tableau.stages, abs(otherWeights.reduce(0, +) - 1) < 1e-12 else {
      fatalError("EmbeddedRungeKutta(comparedWith: \(otherWeights)): needs \(tableau.stages) weights that sum to 1")
    }
    (self.tableau, self.otherWeights, self.estimateOrder) = (tableau, otherWeights, estimateOrder)
    endsWithSlope = tableau.b.last == 0 && tableau.a.last == Array(tableau.b.dropLast())
  }

  public func makeMemory() -> Memory { Memory() }

  public func attempt(
    _ x: Tensor, from t: Double, to s: Double, in field: any VelocityField, memory: inout Memory
  ) -> Attempt<Memory> {
    var evaluations = tableau.stages - 1
    let first: Tensor
    if let slope = memory.slope, slope.time == t {
      first = slope.value
    } else {
      first = field.velocity(x, at: t)
      memory.slope = (t, first)
      evaluations += 1
    }
    let slopes = tableau.slopes(x, from: t, to: s, in: field, first: first)
    let differences = zip(tableau.b, otherWeights).map { $0 - $1 }
    return Attempt(
      state: combination(x, s - t, tableau.b, slopes),
      error: combination(.zeros(like: x), s - t, differences, slopes),
      memory: Memory(slope: endsWithSlope ? (s, slopes[slopes.count - 1]) : nil), evaluations: evaluations)
  }
}

extension Solver where Self == EmbeddedRungeKutta {
  /// Dormand and Prince's method 5(4), "dopri5".
  ///
  /// - Order: 5, with an estimate of order 4. Six evaluations per step, and one more before the first.
  ///
  /// Source: Dormand & Prince 1980, doi:10.1016/0771-050X(80)90013-3, table 2.
  public static var dormandPrince: Self {
    .init(
      .init(
        a: [
          [1 / 5],
          [3 / 40, 9 / 40],
          [44 / 45, -56 / 15, 32 / 9],
          [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
          [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
          [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
        ],
        b: [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0]),
      comparedWith: [5179 / 57600, 0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40],
      estimateOrder: 4)
  }

  /// Bogacki and Shampine's method 3(2); cheaper than ``dormandPrince`` where two digits are enough.
  ///
  /// - Order: 3, with an estimate of order 2. Three evaluations per step, and one more before the first.
  ///
  /// Source: Bogacki & Shampine 1989, doi:10.1016/0893-9659(89)90079-7.
  public static var bogackiShampine: Self {
    .init(
      .init(a: [[1 / 2], [0, 3 / 4], [2 / 9, 1 / 3, 4 / 9]], b: [2 / 9, 1 / 3, 4 / 9, 0]),
      comparedWith: [7 / 24, 1 / 4, 1 / 3, 1 / 8], estimateOrder: 2)
  }
}
