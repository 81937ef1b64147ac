import RealModule
import ScorefieldPaths
import ScorefieldTensorCore

/// What DPM-Solver-v3 is told of a model: how its flow splits into a part that is known and one that varies little.
///
///     y = x/α,   dy/dλ = −ℓ y − N,   N = (1 − ℓ) y − x̂₀ = e^{−λ} ε̂ − ℓ y,   dN/dλ ≈ a N + b
///
/// Tables per dimension, at equal distances in `λ`. Between two nodes each is the cubic whose slopes at the nodes are central
/// differences of the fourth order, so polynomials up to the third degree are exact. In `y` and `λ` the flow knows no schedule, and
/// neither do its statistics.
///
/// Source: Zheng et al. 2023, arXiv:2310.13268, section 3; Lai et al. 2025, *The Principles of Diffusion Models*, eq. 9.7.1–9.7.10, its state
/// divided by `α`.
public struct ModelStatistics: Sendable {
  /// `λ` of the first node and the last.
  public let halfLogSNRs: ClosedRange<Double>
  /// `ℓ`, `a` and `b` at the nodes, shape `[n, …]` with the shape of one sample, or `[n]` where they are those of every dimension.
  public let l, a, b: Tensor
  /// Values and slopes at both ends of every cell, of the three tables beside one another, `[n − 1, 4, 3d]`.
  let cells: Tensor
  /// The largest `|ℓ|` or `|a|`.
  let steepness: Double

  /// The statistics of given tables.
  ///
  /// Stops where the tables are of different shapes or have fewer than two nodes, or the range has nothing in it.
  ///
  /// - Parameters:
  ///   - l: `ℓ` at the nodes, shape `[n, …]`.
  ///   - a: `a` there, in the same shape.
  ///   - b: `b` there, in the same shape.
  ///   - halfLogSNRs: `λ` of the first node and the last.
  public init(l: Tensor, a: Tensor, b: Tensor, over halfLogSNRs: ClosedRange<Double>) {
    guard l.rank > 0, l.shape[0] > 1, l.count > 0, a.shape == l.shape, b.shape == l.shape else {
      fatalError("ModelStatistics(\(l.shape), \(a.shape), \(b.shape)): needs three tables of one shape, and two nodes")
    }
    guard halfLogSNRs.lowerBound.isFinite, halfLogSNRs.upperBound.isFinite,
      halfLogSNRs.lowerBound < halfLogSNRs.upperBound
    else {
      fatalError("ModelStatistics(over: \(halfLogSNRs)): needs a range of finite numbers with something in it")
    }
    self.halfLogSNRs = halfLogSNRs
    // Coefficients are computed on the host, wherever the states are.
    (self.l, self.a, self.b) = (l.to(.float64).to(.cpu), a.to(.float64).to(.cpu), b.to(.float64).to(.cpu))
    let table = Tensor.concatenated([self.l, self.a, self.b].map(\.flattened), 1)
    let slopes = Self.differences(of: table)
    let count = table.batch
    cells = .stacked([table[..<(count - 1)], table[1...], slopes[..<(count - 1)], slopes[1...]], 1)
    steepness = Swift.max(self.l.abs().max().item, self.a.abs().max().item)
  }

  /// The statistics of formulas.
  ///
  /// - Parameters:
  ///   - halfLogSNRs: `λ` of the first node and the last.
  ///   - nodes: How many there are, 2 or more.
  ///   - formula: `ℓ`, `a` and `b` at `λ`, in the shape of one sample.
  public init(
    over halfLogSNRs: ClosedRange<Double>, nodes: Int, _ formula: (Double) -> (l: Tensor, a: Tensor, b: Tensor)
  ) {
    guard nodes > 1 else { fatalError("ModelStatistics(nodes: \(nodes)): needs two or more") }
    let rows = Self.nodes(nodes, over: halfLogSNRs).map(formula)
    self.init(
      l: .stacked(rows.map(\.l)), a: .stacked(rows.map(\.a)), b: .stacked(rows.map(\.b)), over: halfLogSNRs)
  }

  /// Statistics that make DPM-Solver-v3 the exponential Adams–Bashforth method of a frame in `λ`.
  ///
  ///     noise:  (ℓ, a, b) = (0, −1, 0)          data:  (ℓ, a, b) = (1, 0, 0)
  ///
  /// - Parameters:
  ///   - frame: What is taken for a polynomial.
  ///   - halfLogSNRs: The range they are used on.
  /// - Returns: The statistics, of samples of any shape.
  ///
  /// Source: Lai et al. 2025, *The Principles of Diffusion Models*, section 9.7.6.
  public static func frame(_ frame: Frame, over halfLogSNRs: ClosedRange<Double>) -> Self {
    let (l, a) = frame == .data ? (1.0, 0.0) : (0, -1)
    return Self(l: .full([2], l), a: .full([2], a), b: .zeros([2]), over: halfLogSNRs)
  }
}

extension ModelStatistics {
  /// How many nodes there are.
  public var nodes: Int { l.batch }
  /// The shape of one sample; empty where the statistics are those of every dimension.
  public var sampleShape: [Int] { Array(l.shape.dropFirst()) }
  /// The distance of two nodes.
  var spacing: Double { (halfLogSNRs.upperBound - halfLogSNRs.lowerBound) / Double(nodes - 1) }

  /// `λ` at equal distances, both ends of a range among them.
  package static func nodes(_ count: Int, over range: ClosedRange<Double>) -> [Double] {
    (0..<count).map { index in
      let share = Double(index) / Double(count - 1)
      return (1 - share) * range.lowerBound + share * range.upperBound
    }
  }

  /// Whether a half log-SNR is in the range, up to rounding.
  public func covers(_ halfLogSNR: Double) -> Bool {
    let margin = 1e-9 * (1 + halfLogSNR.magnitude)
    return halfLogSNRs.lowerBound - margin <= halfLogSNR && halfLogSNR <= halfLogSNRs.upperBound + margin
  }

  /// The derivatives of a table `[n, …]` at its nodes, per node.
  ///
  ///     ḟᵢ ≈ (8 (fᵢ₊₁ − fᵢ₋₁) − (fᵢ₊₂ − fᵢ₋₂))/12
  ///
  /// At the ends, that of the polynomial through the five last values; of fewer than five, through all.
  package static func differences(of table: Tensor) -> Tensor {
    let count = table.batch
    let flat = table.reshaped(count, -1)
    let width = min(count, 5)
    let weights = Tensor(rows: (0..<width).map { LagrangeBasis.slopes(at: $0, among: width) })
    guard count > 5 else { return weights.matmul(flat).reshaped(table.shape) }
    let inner =
      (8 * (flat[3..<(count - 1)] - flat[1..<(count - 3)]) - (flat[4...] - flat[..<(count - 4)])) / 12
    let (first, last) = (weights[..<2].matmul(flat[..<5]), weights[3...].matmul(flat[(count - 5)...]))
    return Tensor.concatenated([first, inner, last]).reshaped(table.shape)
  }
}

extension LagrangeBasis {
  /// The slopes at one of the nodes `0, 1, …` of the polynomials that belong to them.
  fileprivate static func slopes(at node: Int, among count: Int) -> [Double] {
    LagrangeBasis((0..<count).map { Double($0 - node) }).coefficients.map { $0[1] }
  }
}
