import ScorefieldTensorCore

/// The polynomials that are 1 at one of some nodes and 0 at the others.
///
///     ℓⱼ(τ) = ∏_{k ≠ j} (τ − τₖ)/(τⱼ − τₖ)
///
/// Source: Zhang & Chen 2023, arXiv:2204.13902, eq. 13.
public struct LagrangeBasis: Sendable, Equatable {
  /// `τⱼ`, all different.
  public let nodes: [Double]

  public init(_ nodes: [Double]) {
    guard !nodes.isEmpty, Set(nodes).count == nodes.count, nodes.allSatisfy(\.isFinite) else {
      fatalError("LagrangeBasis(\(nodes)): needs nodes that are finite and all different")
    }
    self.nodes = nodes
  }

  /// `ℓⱼ(τ)` of every node.
  public func values(at x: Double) -> [Double] {
    nodes.indices.map { j in
      nodes.indices.reduce(1) { product, k in
        k == j ? product : product * (x - nodes[k]) / (nodes[j] - nodes[k])
      }
    }
  }

  /// The coefficients of every `ℓⱼ`, of the power 0 first.
  public var coefficients: [[Double]] {
    nodes.indices.map { j in
      nodes.indices.reduce([1]) { polynomial, k in
        guard k != j else { return polynomial }
        let width = nodes[j] - nodes[k]
        let raised = [0] + polynomial.map { $0 / width }
        return zip(raised, polynomial.map { -$0 * nodes[k] / width } + [0]).map { $0 + $1 }
      }
    }
  }

  /// The polynomial through values at the nodes, at any place.
  public func interpolation(of values: [Tensor], at x: Double) -> Tensor {
    guard values.count == nodes.count else {
      fatalError("interpolation(of \(values.count) values): there are \(nodes.count) nodes")
    }
    return .combination(zip(self.values(at: x), values).map { ($0, $1) })
  }
}
