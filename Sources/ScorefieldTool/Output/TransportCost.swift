import Scorefield

/// What a map's pairing of starts and ends costs beside the best pairing of the same.
struct TransportCost: Encodable {
  /// The mean of `|y − x|²` over the map's own pairs and over the best ones.
  let flow, optimal: Double
  /// How much more the map costs, relative to the best.
  let excess: Double
  /// How many starts the best pairing sends elsewhere.
  let changed: Int

  /// The costs of a map, where there are enough points to pair otherwise and not too many.
  init?(from x: Tensor, to y: Tensor) {
    guard (2...2000).contains(x.batch) else { return nil }
    let best = optimalAssignment(squaredCost(x, y))
    flow = (y.to(.float64) - x.to(.float64)).flattened.squared().sum(-1).mean().item
    optimal = best.value
    excess = optimal > 0 ? flow / optimal - 1 : 0
    changed = best.columns.integers.enumerated().count { $0 != $1 }
  }
}
