import ScorefieldSolvers
import ScorefieldTensorCore

/// Who goes where, how much of it, what it costs, and the proof that nothing costs less.
///
///     value = Σ Cᵢⱼ γᵢⱼ,   γ 1 = a,   γᵀ 1 = b,   γ ≥ 0
///     fᵢ + gⱼ ≤ Cᵢⱼ everywhere,   dualityGap = value − ⟨f, a⟩ − ⟨g, b⟩
///
/// No plan costs less than `⟨f, a⟩ + ⟨g, b⟩`, so the gap says how far this one can be from the best: nothing, up to rounding.
/// A plan of `n` and `m` points needs no more than `n + m − 1` entries, and these alone are kept.
///
/// Source: Peyré & Cuturi 2019, arXiv:1803.00567, sections 2.3 and 2.5.
public struct TransportPlan: Sendable {
  /// The source of every entry, increasing, `int64`, shape `[k]`.
  public let rows: Tensor
  /// The target of every entry, `int64`, shape `[k]`; for an assignment the permutation.
  public let columns: Tensor
  /// `γ` at the entries, shape `[k]`; the weights of either side are scaled to sum to 1.
  public let masses: Tensor
  /// What the plan costs, in units of the cost.
  public let value: Double
  /// `f`, shape `[n]`.
  public let sourcePotential: Tensor
  /// `g`, shape `[m]`.
  public let targetPotential: Tensor
  /// At least what the plan costs too much.
  public let dualityGap: Double
  /// Whether the plan is the best one; `stepLimit` where the pivots did not suffice, and the gap then says by how much.
  public let outcome: Outcome

  /// `γ`, shape `[n, m]`.
  public var matrix: Tensor {
    let (n, m) = (sourcePotential.batch, targetPotential.batch)
    var elements = [Double](repeating: 0, count: n * m)
    for ((row, column), mass) in zip(zip(rows.integers, columns.integers), masses.doubles) {
      elements[row * m + column] += mass
    }
    return Tensor(elements, shape: [n, m]).to(masses.device)
  }

  /// Where the mass is on its way, if all of it moves straight and evenly (McCann's interpolation).
  ///
  ///     (1 − t) xᵢ + t yⱼ,   with the weights γᵢⱼ
  ///
  /// - Parameters:
  ///   - x: The sources, shape `[n, …]`.
  ///   - y: The targets, shape `[m, …]`.
  ///   - t: From 0 at the sources to 1 at the targets.
  /// - Returns: The points, shape `[k, …]`; their weights are ``masses``.
  public func displaced(_ x: Tensor, _ y: Tensor, at t: Double) -> Tensor {
    guard x.batch == sourcePotential.batch, y.batch == targetPotential.batch else {
      fatalError(
        "TransportPlan.displaced(\(x.shape), \(y.shape)): the plan is of \(sourcePotential.batch) and "
          + "\(targetPotential.batch) points")
    }
    return (1 - t) * x.selecting(rows) + t * y.selecting(columns)
  }
}

extension TransportPlan {
  struct Entry {
    var row, column, quanta: Int
    var cost: Double
  }

  /// A plan of masses in quanta.
  init(
    _ entries: [Entry], _ weights: Quanta, potentials f: [Double], _ g: [Double], outcome: Outcome = .converged,
    on device: Device
  ) {
    let kept = entries.filter { $0.quanta > 0 }.sorted { ($0.row, $0.column) < ($1.row, $1.column) }
    let total = Double(weights.total)
    func mean(_ quanta: [Int], _ values: [Double]) -> Double {
      zip(quanta, values).reduce(0) { $0 + Double($1.0) * $1.1 } / total
    }
    rows = Tensor(kept.map(\.row)).to(device)
    columns = Tensor(kept.map(\.column)).to(device)
    masses = Tensor(kept.map { Double($0.quanta) / total }).to(device)
    value = mean(kept.map(\.quanta), kept.map(\.cost))
    dualityGap = value - mean(weights.sources, f) - mean(weights.targets, g)
    sourcePotential = Tensor(f).to(device)
    targetPotential = Tensor(g).to(device)
    self.outcome = outcome
  }
}
