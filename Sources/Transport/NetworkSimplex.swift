/// The simplex method of the transportation problem on a spanning tree of sources and targets.
///
/// Every arc runs from a source to a target. A tree arc without flow points to the root, and an exchange that has a choice keeps
/// that so, with flows that are whole numbers: then no tree comes twice, however degenerate the weights are.
package struct NetworkSimplex {
  private let n, m: Int
  private let cost: [Double]
  /// Per node, sources first: its parent, the cost and the flow of the arc between them, and its depth.
  private var parent: [Int], arcCost: [Double], flow: [Int], depth: [Int]
  /// The children of every node as linked lists.
  private var firstChild: [Int], next: [Int], previous: [Int]
  /// `f` and, behind it, `g`: tree arcs have `fᵢ + gⱼ = Cᵢⱼ`.
  private var potential: [Double]
  /// Reduced costs above `−tolerance` are zero but for rounding.
  private let tolerance: Double
  private var stack: [Int] = []

  /// The tree of the north-west corner.
  ///
  /// - Parameters:
  ///   - cost: Row by row.
  ///   - supplies: Larger than zero, of the same sum as the demands.
  ///   - demands: Larger than zero.
  package init(cost: [Double], supplies: [Int], demands: [Int]) {
    (n, m, self.cost) = (supplies.count, demands.count, cost)
    let nodes = n + m
    parent = Array(repeating: -1, count: nodes)
    arcCost = Array(repeating: 0, count: nodes)
    flow = Array(repeating: 0, count: nodes)
    depth = Array(repeating: 0, count: nodes)
    firstChild = Array(repeating: -1, count: nodes)
    next = Array(repeating: -1, count: nodes)
    previous = Array(repeating: -1, count: nodes)
    potential = Array(repeating: 0, count: nodes)
    tolerance = 1e-13 * cost.reduce(0) { max($0, abs($1)) }

    var (i, j, supply, demand) = (0, 0, supplies[0], demands[0])
    var child = n
    while true {
      let amount = min(supply, demand)
      supply -= amount
      demand -= amount
      attach(child, to: child < n ? n + j : i, flow: amount)
      if i == n - 1 && j == m - 1 { break }
      // Where both are used up the next arc is empty: it starts at a new source and so points to the root, which is source 0.
      if supply == 0 && i < n - 1 {
        i += 1
        (supply, child) = (supplies[i], i)
      } else {
        j += 1
        (demand, child) = (demands[j], n + j)
      }
    }
    update(from: 0)
  }

  /// `f`.
  var potentials: ArraySlice<Double> { potential[..<n] }

  /// The flows of the tree.
  var flows: [(source: Int, target: Int, amount: Int)] {
    (0..<(n + m)).compactMap { node in
      guard parent[node] >= 0 else { return nil }
      return node < n ? (node, parent[node] - n, flow[node]) : (parent[node], node - n, flow[node])
    }
  }

  /// Whether every tree arc without flow points to the root, as it has to.
  package var emptyArcsPointToRoot: Bool {
    (0..<(n + m)).allSatisfy { parent[$0] < 0 || flow[$0] > 0 || (flow[$0] == 0 && $0 < n) }
  }

  /// Exchanges arcs until no reduced cost is negative; says whether that came to be.
  package mutating func solve(maximumPivots: Int) -> Bool {
    var position = 0
    for _ in 0..<maximumPivots {
      guard let entering = entering(from: &position) else { return true }
      pivot(entering / m, n + entering % m)
    }
    return entering(from: &position) == nil
  }

  /// The most negative reduced cost of the first block of arcs that has one.
  private func entering(from position: inout Int) -> Int? {
    let count = n * m
    let block = max(Int(Double(count).squareRoot()), 16)
    let (n, m, tolerance, start) = (n, m, tolerance, position)
    let found: Int? = cost.withUnsafeBufferPointer { cost in
      potential.withUnsafeBufferPointer { potential in
        var (arc, scanned, left) = (start, 0, block)
        var (best, least) = (-1, -tolerance)
        var (row, column) = (arc / m, arc % m)
        while scanned < count {
          let end = min(m, column + min(left, count - scanned))
          let (f, first) = (potential[row], arc - column)
          for target in column..<end {
            let reduced = cost[first + target] - f - potential[n + target]
            if reduced < least { (least, best) = (reduced, first + target) }
          }
          let step = end - column
          scanned += step
          left -= step
          arc += step
          column = end
          if column == m {
            (row, column) = (row + 1, 0)
            if row == n { (row, arc) = (0, 0) }
          }
          if left == 0 {
            if best >= 0 { break }
            left = block
          }
        }
        position = arc
        return best >= 0 ? best : nil
      }
    }
    return found
  }

  /// Brings the arc from a source to a target into the tree, and the arc that limits its flow out of it.
  private mutating func pivot(_ source: Int, _ target: Int) {
    // Flow goes through the new arc and back through the tree: less on the arcs to the parents of sources on the one side, of
    // targets on the other. Of several that limit it, the last on the way round from where the sides meet leaves.
    let meeting = ancestor(of: source, and: target)
    var (least, leaving, onSourceSide) = (Int.max, -1, true)
    var node = source
    while node != meeting {
      if node < n && flow[node] < least { (least, leaving, onSourceSide) = (flow[node], node, true) }
      node = parent[node]
    }
    node = target
    while node != meeting {
      if node >= n && flow[node] <= least { (least, leaving, onSourceSide) = (flow[node], node, false) }
      node = parent[node]
    }

    node = source
    while node != meeting {
      flow[node] += node < n ? -least : least
      node = parent[node]
    }
    node = target
    while node != meeting {
      flow[node] += node >= n ? -least : least
      node = parent[node]
    }

    // The part below the leaving arc hangs on the new one: the way from there up turns round.
    var (child, above) = onSourceSide ? (source, target) : (target, source)
    var amount = least
    let top = child
    while true {
      let (up, carried) = (parent[child], flow[child])
      detach(child)
      attach(child, to: above, flow: amount)
      if child == leaving { break }
      (above, child, amount) = (child, up, carried)
    }
    update(from: top)
  }

  private func ancestor(of a: Int, and b: Int) -> Int {
    var (a, b) = (a, b)
    while a != b { if depth[a] >= depth[b] { a = parent[a] } else { b = parent[b] } }
    return a
  }

  private mutating func detach(_ node: Int) {
    let (before, after) = (previous[node], next[node])
    if before >= 0 { next[before] = after } else { firstChild[parent[node]] = after }
    if after >= 0 { previous[after] = before }
  }

  private mutating func attach(_ node: Int, to above: Int, flow amount: Int) {
    parent[node] = above
    flow[node] = amount
    arcCost[node] = node < n ? cost[node * m + above - n] : cost[above * m + node - n]
    let sibling = firstChild[above]
    (previous[node], next[node], firstChild[above]) = (-1, sibling, node)
    if sibling >= 0 { previous[sibling] = node }
  }

  /// Depths and potentials of a node and all below it, from the arcs rather than by differences, so that no error builds up.
  private mutating func update(from node: Int) {
    stack.append(node)
    while let node = stack.popLast() {
      if parent[node] >= 0 {
        depth[node] = depth[parent[node]] + 1
        potential[node] = arcCost[node] - potential[parent[node]]
      }
      var child = firstChild[node]
      while child >= 0 {
        stack.append(child)
        child = next[child]
      }
    }
  }
}
