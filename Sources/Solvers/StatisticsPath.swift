import ScorefieldTensorCore

/// The integrals of a model's statistics on the way from one half log-SNR to another, in either direction.
///
///     L = ∫ ℓ,   A = ∫ a,   B = ∫ e^{−A} b,   E = e^{L + A},   each from the way's begin
///
/// The way is cut at the nodes, and finer where the exponentials are steep; on every piece the tables are cubics, and all is integrated
/// to rounding.
struct StatisticsPath {
  private let from, to: Double
  /// `λ` of the points, from the begin, and their weights.
  private let offsets, weights: [Double]
  /// `E` and `B` at the points, `[points, d]`.
  private let growth, inner: Tensor
  /// `L`, `A` and `B` at the end, `[d]`.
  let l, a, b: Tensor

  private static let rule = GaussLegendre(6)
  private static let antiderivatives = rule.antiderivatives
  /// The largest growth of an exponent on a piece.
  private static let growthLimit = 0.5

  init(_ statistics: ModelStatistics, from: Double, to: Double) {
    (self.from, self.to) = (from, to)
    let ends = Self.pieces(statistics, from, to)
    let count = ends.count - 1
    let (first, spacing) = (statistics.halfLogSNRs.lowerBound, statistics.spacing)
    let halves = zip(ends, ends.dropFirst()).map { ($1 - $0) / 2 }
    let middles = zip(ends, ends.dropFirst()).map { ($0 + $1) / 2 }
    let cells = middles.map { min(max(Int((($0 - first) / spacing).rounded(.down)), 0), statistics.nodes - 2) }

    // The cubic of a cell in u, 0 at its first node and 1 at its second.
    let begins = zip(middles, cells).map { ($0 - first) / spacing - Double($1) }
    let nodes = Tensor(Self.rule.nodes)
    let half = Tensor(halves, shape: [count, 1])
    let u = Tensor(begins, shape: [count, 1]) + (half / spacing) * nodes
    let (square, cube) = (u * u, u * u * u)
    let rise = 3 * square - 2 * cube
    let shapes = Tensor.stacked([1 - rise, rise, cube - 2 * square + u, cube - square], -1)
    let values = shapes.matmul(statistics.cells.selecting(Tensor(cells)))

    let within = Tensor(rows: Self.antiderivatives)
    let whole = Tensor(rows: [Self.rule.weights])
    let lengths = half.expanded(at: 2)
    /// From the begin to each point, and to the end.
    func integral(_ integrand: Tensor) -> (points: Tensor, end: Tensor) {
      let totals = lengths * whole.matmul(integrand)
      let sums = totals.cumulativeSum(0)
      return (lengths * within.matmul(integrand) + (sums - totals), sums[count - 1, 0])
    }
    let d = statistics.cells.shape[2] / 3
    let exponents = integral(values.narrowed(2, from: 0, count: 2 * d))
    let (linear, scale) = (
      exponents.points.narrowed(2, from: 0, count: d), exponents.points.narrowed(2, from: d, count: d)
    )
    let shift = integral((-scale).exp() * values.narrowed(2, from: 2 * d, count: d))
    (l, a, b) = (exponents.end[..<d], exponents.end[d...], shift.end)
    growth = (linear + scale).exp().reshaped(-1, d)
    inner = shift.points.reshaped(-1, d)
    offsets = zip(middles, halves).flatMap { middle, half in Self.rule.nodes.map { middle - from + half * $0 } }
    weights = halves.flatMap { half in Self.rule.weights.map { half * $0 } }
  }

  /// The ends of the pieces, the way's own first and last.
  private static func pieces(_ statistics: ModelStatistics, _ from: Double, _ to: Double) -> [Double] {
    let (first, spacing) = (statistics.halfLogSNRs.lowerBound, statistics.spacing)
    let (low, high) = (min(from, to), max(from, to))
    let nodes = (0..<statistics.nodes).lazy.map { first + spacing * Double($0) }
    // A node that is an end, but for rounding, makes no piece.
    let begin = max(0, Int(((low - first) / spacing).rounded(.down)))
    let end = min(statistics.nodes - 1, Int(((high - first) / spacing).rounded(.up)))
    let knots =
      (begin <= end ? nodes[begin...end].filter { low + 1e-9 * spacing < $0 && $0 < high - 1e-9 * spacing } : [])
    let ends = [low] + knots + [high]
    let fine = zip(ends, ends.dropFirst()).flatMap { a, b in
      let count = max(1, Int(((b - a) * (1 + statistics.steepness) / growthLimit).rounded(.up)))
      let length = (b - a) / Double(count)
      return (0..<count).map { a + length * Double($0) }
    }
    return from <= to ? fine + [high] : (fine + [high]).reversed()
  }

  /// `∫ E ((λ − λ_s)/(λ_t − λ_s))ᵏ dλ` of every `k` below a count, `[count, d]`.
  func moments(_ count: Int) -> Tensor {
    let length = to - from
    var powers = weights
    let rows = (0..<count).map { k in
      if k > 0 { powers = zip(powers, offsets).map { $0 * $1 / length } }
      return powers
    }
    return Tensor(rows: rows).matmul(growth)
  }

  /// `∫ E B dλ`, `[d]`.
  var drift: Tensor { Tensor(rows: [weights]).matmul(growth * inner)[0] }
}
