import ScorefieldTensorCore

/// The mean energy of paths, which is no less than the squared distance between the laws of their ends.
///
///     W₂² ≤ E ∫₀¹ |Ψ̇_t(x₀, x₁)|² dt,   with equality for straight lines between ends of a best plan
///
/// - Cost: One evaluation of the velocities per node of the Gauss–Legendre rule.
/// - Parameters:
///   - nodes: Exact for velocities that are polynomials in time of a degree below this.
///   - velocity: `Ψ̇_t` of every path, shape `[B, …]`, all of equal weight.
/// - Returns: The energy, in squared units of the points.
///
/// Source: Benamou & Brenier 2000, doi:10.1007/s002110050002; as a bound for conditional flows Liu, Gong & Liu 2023,
/// arXiv:2209.03003, section 3.
public func pathEnergy(nodes: Int = 32, velocity: (Double) -> Tensor) -> Double {
  overTime(nodes: nodes) { t in
    let velocities = velocity(t).to(.float64)
    return velocities.squared().sum().item / Double(velocities.batch)
  }
}

/// `∫₀¹ f(t) dt` by Gauss and Legendre's rule.
///
/// Source: Golub & Welsch 1969, doi:10.1090/S0025-5718-69-99647-1.
func overTime(nodes: Int = 32, _ integrand: (Double) -> Double) -> Double {
  guard nodes > 0 else { fatalError("pathEnergy(nodes: \(nodes)): needs at least one") }
  var jacobi = [Double](repeating: 0, count: nodes * nodes)
  for k in 1..<max(nodes, 1) {
    let order = Double(k)
    jacobi[k * nodes + k - 1] = order / (4 * order * order - 1).squareRoot()
  }
  let (values, vectors) = Tensor(jacobi, shape: [nodes, nodes]).eigh()
  return zip(values.doubles, vectors[0].doubles).reduce(0) { sum, node in
    sum + node.1 * node.1 * integrand((1 + node.0) / 2)
  }
}
