import RealModule
import ScorefieldTensorCore

/// The plan on a line, which keeps the order of points: the best one for every cost that is convex in the distance.
///
///     Cᵢⱼ = |xᵢ − yⱼ|ᵖ,   γ = (F⁻¹, G⁻¹)# U[0, 1]
///
/// - Cost: `O((n + m) log(n + m))`.
/// - Parameters:
///   - x: The sources, finite, shape `[n]`.
///   - y: The targets, finite, shape `[m]`.
///   - power: `p`, at least 1.
///   - a: Weights of the sources, shape `[n]`, not negative and not all zero; equal where left out.
///   - b: Weights of the targets, shape `[m]`; both are scaled to sum to 1.
/// - Returns: The plan with its potentials.
///
/// Source: Peyré & Cuturi 2019, arXiv:1803.00567, section 2.6.
public func optimalTransportOnLine(
  _ x: Tensor, _ y: Tensor, power: Double = 2, from a: Tensor? = nil, to b: Tensor? = nil
) -> TransportPlan {
  guard x.rank == 1, y.rank == 1, power >= 1, power < .infinity else {
    fatalError("optimalTransportOnLine(\(x.shape), \(y.shape), power: \(power)): needs [n], [m] and a power from 1 on")
  }
  guard x.isFinite().all(), y.isFinite().all() else {
    fatalError("optimalTransportOnLine(\(x.shape), \(y.shape)): a point is a NaN or an infinity")
  }
  let (n, m) = (x.batch, y.batch)
  let weights = Quanta("optimalTransportOnLine", a, n, b, m)
  let (sources, targets) = (x.to(.float64).sorted(), y.to(.float64).sorted())
  let (places, ends) = (sources.values.doubles, targets.values.doubles)
  let (rows, columns) = (sources.positions.integers, targets.positions.integers)

  var (f, g) = ([Double](repeating: 0, count: n), [Double](repeating: 0, count: m))
  var entries: [TransportPlan.Entry] = []
  entries.reserveCapacity(n + m)
  var (i, j) = (0, 0)
  var (supply, demand) = (weights.sources[rows[0]], weights.targets[columns[0]])
  var movesSource = false
  while true {
    let (row, column) = (rows[i], columns[j])
    let cost = Double.pow(abs(places[i] - ends[j]), power)
    // Along the staircase potentials follow from one another; for a convex cost they then hold everywhere.
    if movesSource { f[row] = cost - g[column] } else { g[column] = cost - f[row] }
    let amount = min(supply, demand)
    entries.append(.init(row: row, column: column, quanta: amount, cost: cost))
    supply -= amount
    demand -= amount
    if i == n - 1 && j == m - 1 { break }
    movesSource = j == m - 1 || (supply == 0 && i < n - 1)
    if movesSource {
      i += 1
      supply = weights.sources[rows[i]]
    } else {
      j += 1
      demand = weights.targets[columns[j]]
    }
  }
  return TransportPlan(entries, weights, potentials: f, g, on: x.device)
}
