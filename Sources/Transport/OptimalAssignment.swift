import ScorefieldTensorCore

/// The permutation that pairs as many sources with as many targets at the least cost.
///
///     min over π of (1/n) Σ C[i, π(i)]
///
/// Shortest augmenting paths: most rows find their column by bidding, the others by a shortest path in reduced costs.
///
/// - Cost: `O(n³)`, seconds for `n = 4,000`; the cost is held on the host, in `float64`. See
///   ``Sinkhorn`` where that is too much.
/// - Parameter cost: `C`, finite, shape `[n, n]`.
/// - Returns: The plan, whose ``TransportPlan/columns`` are the permutation.
///
/// Source: Jonker & Volgenant 1987, doi:10.1007/BF02278710.
public func optimalAssignment(_ cost: Tensor) -> TransportPlan {
  guard cost.rank == 2, cost.shape[0] == cost.shape[1], cost.shape[0] > 0 else {
    fatalError("optimalAssignment(\(cost.shape)): needs a square matrix; optimalTransport takes others")
  }
  let size = cost.shape[0]
  let elements = finiteElements("optimalAssignment", cost)
  var paths = AugmentingPaths(size: size)
  let f = elements.withUnsafeBufferPointer { elements in
    paths.solve(elements)
    return transformed(elements, size, paths.prices)
  }
  let entries = (0..<size).map { column in
    let row = paths.rows[column]
    return TransportPlan.Entry(row: row, column: column, quanta: 1, cost: elements[row * size + column])
  }
  let ones = Quanta(ones: size)
  return TransportPlan(entries, ones, potentials: f, paths.prices, on: cost.device)
}

/// The elements of a cost, on the host.
func finiteElements(_ operation: String, _ cost: Tensor) -> [Double] {
  guard cost.isFinite().all() else { fatalError("\(operation)(\(cost.shape)): the cost holds a NaN or an infinity") }
  return cost.doubles
}

/// `fᵢ = minⱼ (Cᵢⱼ − gⱼ)`, the largest potential beside another.
func transformed(_ cost: UnsafeBufferPointer<Double>, _ width: Int, _ g: [Double]) -> [Double] {
  g.withUnsafeBufferPointer { g in
    (0..<(cost.count / width)).map { row in
      var least = Double.infinity
      let start = row * width
      for column in 0..<width {
        let reduced = cost[start + column] - g[column]
        if reduced < least { least = reduced }
      }
      return least
    }
  }
}

/// The method of Jonker and Volgenant on a row-major matrix of costs.
private struct AugmentingPaths {
  private let size: Int
  /// The row of each column, −1 where it has none.
  private(set) var rows: [Int]
  /// `g`, what a column takes off the cost of those who come to it.
  private(set) var prices: [Double]

  init(size: Int) {
    self.size = size
    rows = Array(repeating: -1, count: size)
    prices = Array(repeating: 0, count: size)
  }

  mutating func solve(_ cost: UnsafeBufferPointer<Double>) {
    var free = reduceColumns(cost)
    if size > 1 { for _ in 0..<2 { free = bid(cost, for: free) } }
    augment(cost, from: free)
  }

  /// Every column goes to the row it is cheapest in, if that row has none yet; returns the rows without one.
  private mutating func reduceColumns(_ cost: UnsafeBufferPointer<Double>) -> [Int] {
    var cheapest = [Int](repeating: 0, count: size)
    for column in 0..<size { prices[column] = cost[column] }
    for row in 1..<Swift.max(size, 1) {
      for column in 0..<size where cost[row * size + column] < prices[column] {
        prices[column] = cost[row * size + column]
        cheapest[column] = row
      }
    }
    var (wins, columns) = ([Int](repeating: 0, count: size), [Int](repeating: -1, count: size))
    for column in (0..<size).reversed() {
      let row = cheapest[column]
      wins[row] += 1
      if wins[row] == 1 { (rows[column], columns[row]) = (row, column) }
    }
    // A row that won one column alone lets it go as cheap as its next best allows.
    for row in 0..<size where wins[row] == 1 && size > 1 {
      var least = Double.infinity
      for column in 0..<size where column != columns[row] {
        least = Swift.min(least, cost[row * size + column] - prices[column])
      }
      prices[columns[row]] -= least
    }
    return (0..<size).filter { wins[$0] == 0 }
  }

  /// Rows outbid one another for the column they like best, as far as the next best lets them; returns the rows left over.
  private mutating func bid(_ cost: UnsafeBufferPointer<Double>, for free: [Int]) -> [Int] {
    var (waiting, left) = (Array(free.reversed()), [Int]())
    // Bids that move prices by next to nothing could go on for long; what is left is found by paths.
    var bids = 4 * size
    while let row = waiting.popLast() {
      var (best, second) = (Double.infinity, Double.infinity)
      var (bestColumn, secondColumn) = (0, 0)
      prices.withUnsafeBufferPointer { prices in
        let start = row * size
        for column in 0..<size {
          let reduced = cost[start + column] - prices[column]
          if reduced < second {
            if reduced < best {
              (second, secondColumn) = (best, bestColumn)
              (best, bestColumn) = (reduced, column)
            } else {
              (second, secondColumn) = (reduced, column)
            }
          }
        }
      }
      let price = prices[bestColumn] - (second - best)
      let lowers = price < prices[bestColumn]
      if lowers {
        prices[bestColumn] = price
      } else if rows[bestColumn] >= 0 {
        bestColumn = secondColumn
      }
      let outbid = rows[bestColumn]
      rows[bestColumn] = row
      guard outbid >= 0 else { continue }
      bids -= 1
      if lowers && bids > 0 { waiting.append(outbid) } else { left.append(outbid) }
    }
    return left
  }

  /// One shortest path in reduced costs for every row that is left.
  private mutating func augment(_ cost: UnsafeBufferPointer<Double>, from free: [Int]) {
    var columns = [Int](repeating: -1, count: size)
    for column in 0..<size where rows[column] >= 0 { columns[rows[column]] = column }
    var search = PathSearch(size: size)
    for row in free {
      let path = search.path(from: row, cost, rows, prices)
      for column in search.order[..<path.followed] { prices[column] += search.distances[column] - path.length }
      var column = path.end
      while true {
        let origin = search.origins[column]
        rows[column] = origin
        (column, columns[origin]) = (columns[origin], column)
        if origin == row { break }
      }
    }
  }
}

/// Dijkstra's method between the columns, in reduced costs.
private struct PathSearch {
  private let size: Int
  /// The columns: those that were followed, those at the same distance that were not yet, and the others.
  private(set) var order: [Int]
  private(set) var distances: [Double]
  /// The row from which a column was reached.
  private(set) var origins: [Int]

  init(size: Int) {
    self.size = size
    order = Array(0..<size)
    distances = Array(repeating: 0, count: size)
    origins = Array(repeating: 0, count: size)
  }

  /// The nearest column without a row; `followed` is the number of columns nearer than it.
  mutating func path(
    from start: Int, _ cost: UnsafeBufferPointer<Double>, _ rows: [Int], _ prices: [Double]
  ) -> (end: Int, length: Double, followed: Int) {
    let size = size
    return order.withUnsafeMutableBufferPointer { order in
      distances.withUnsafeMutableBufferPointer { distances in
        origins.withUnsafeMutableBufferPointer { origins in
          rows.withUnsafeBufferPointer { rows in
            prices.withUnsafeBufferPointer { prices in
              Self.path(from: start, size, cost, order, distances, origins, rows, prices)
            }
          }
        }
      }
    }
  }

  private static func path(
    from start: Int, _ size: Int, _ cost: UnsafeBufferPointer<Double>, _ order: UnsafeMutableBufferPointer<Int>,
    _ distances: UnsafeMutableBufferPointer<Double>, _ origins: UnsafeMutableBufferPointer<Int>,
    _ rows: UnsafeBufferPointer<Int>, _ prices: UnsafeBufferPointer<Double>
  ) -> (end: Int, length: Double, followed: Int) {
    for column in 0..<size {
      distances[column] = cost[start * size + column] - prices[column]
      origins[column] = start
    }
    var (low, high, followed) = (0, 0, 0)
    var length = 0.0
    while true {
      if low == high {
        followed = low
        length = distances[order[high]]
        high += 1
        for position in high..<size {
          let column = order[position]
          let distance = distances[column]
          guard distance <= length else { continue }
          if distance < length { (high, length) = (low, distance) }
          order[position] = order[high]
          order[high] = column
          high += 1
        }
        for position in low..<high where rows[order[position]] < 0 { return (order[position], length, followed) }
      }
      let reached = order[low]
      low += 1
      let row = rows[reached]
      let first = row * size
      let offset = cost[first + reached] - prices[reached] - length
      for position in high..<size {
        let column = order[position]
        let distance = cost[first + column] - prices[column] - offset
        guard distance < distances[column] else { continue }
        origins[column] = row
        distances[column] = distance
        if distance <= length {
          if rows[column] < 0 { return (column, length, followed) }
          order[position] = order[high]
          order[high] = column
          high += 1
        }
      }
    }
  }
}
