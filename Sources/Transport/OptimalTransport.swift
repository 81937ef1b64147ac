import ScorefieldTensorCore

/// The plan that carries one set of weights to another at the least cost.
///
///     min Σ Cᵢⱼ γᵢⱼ   over γ ≥ 0,   γ 1 = a,   γᵀ 1 = b
///
/// As many sources as targets, all of equal weight, are a case for ``optimalAssignment(_:)``, which is called; all others are
/// solved by the network simplex. Masses are exact: equal weights of either side as fractions, others to 2⁻⁶⁰.
///
/// - Cost: On points in a plane it grows about as `n m`, seconds for 4,000 of either; no bound is known that is not far above. The
///   cost is held on the host, in `float64`.
/// - Parameters:
///   - cost: `C`, finite, shape `[n, m]`.
///   - a: Weights of the sources, shape `[n]`, not negative and not all zero; equal where left out.
///   - b: Weights of the targets, shape `[m]`; both are scaled to sum to 1.
///   - maximumPivots: At most so many exchanges in the tree; by default more than were ever seen.
/// - Returns: The plan with its potentials.
///
/// Source: Peyré & Cuturi 2019, arXiv:1803.00567, section 3.5; pivots that cannot cycle by Cunningham 1976,
/// doi:10.1007/BF01580379.
public func optimalTransport(
  _ cost: Tensor, from a: Tensor? = nil, to b: Tensor? = nil, maximumPivots: Int? = nil
) -> TransportPlan {
  guard cost.rank == 2, cost.count > 0 else { fatalError("optimalTransport(\(cost.shape)): needs a cost [n, m]") }
  let (n, m) = (cost.shape[0], cost.shape[1])
  if a == nil && b == nil && n == m && maximumPivots == nil { return optimalAssignment(cost) }
  let weights = Quanta("optimalTransport", a, n, b, m)
  let elements = finiteElements("optimalTransport", cost)

  // Points without weight take no part; their potentials follow from those of the others.
  let sources = weights.sources.indices.filter { weights.sources[$0] > 0 }
  let targets = weights.targets.indices.filter { weights.targets[$0] > 0 }
  let whole = sources.count == n && targets.count == m
  var simplex = NetworkSimplex(
    cost: whole ? elements : sources.flatMap { row in targets.map { elements[row * m + $0] } },
    supplies: sources.map { weights.sources[$0] }, demands: targets.map { weights.targets[$0] })
  let settled = simplex.solve(maximumPivots: maximumPivots ?? 1000 * (n + m) + n * m)

  var g = [Double](repeating: .infinity, count: m)
  for (row, f) in zip(sources, simplex.potentials) {
    for column in 0..<m { g[column] = min(g[column], elements[row * m + column] - f) }
  }
  let f = elements.withUnsafeBufferPointer { transformed($0, m, g) }
  let entries = simplex.flows.map { flow in
    let (row, column) = (sources[flow.source], targets[flow.target])
    return TransportPlan.Entry(row: row, column: column, quanta: flow.amount, cost: elements[row * m + column])
  }
  return TransportPlan(
    entries, weights, potentials: f, g, outcome: settled ? .converged : .stepLimit, on: cost.device)
}
