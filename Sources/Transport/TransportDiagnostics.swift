import RealModule
import ScorefieldFields
import ScorefieldFisher
import ScorefieldInference
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// Where along the flow its Jacobian loses symmetry, and why.
///
/// `d(A − Aᵀ)/dκ = σ²(F A − Aᵀ Fᵀ)`: while `A` is symmetric it stays so exactly where `F` is, and commutes with it. So asymmetry
/// comes from the curl of a learned score, or from Fishers of different noise levels that do not commute.
public struct TransportDiagnostics: Sendable {
  /// Noise-to-signal ratios `σ/α`, from the start, `[n + 1]`.
  public let ratios: [Double]
  /// `|A − Aᵀ|/(2|A|)` of the Jacobian up to there, shape `[n + 1, B]`.
  public let asymmetry: Tensor
  /// `|F − Fᵀ|/(2|F|)`: 0 where the score is a gradient, shape `[n + 1, B]`.
  public let curl: Tensor
  /// `|F A − A F|/(√2 |F||A|)`, between 0 and 1, shape `[n + 1, B]`.
  public let commutator: Tensor
  /// `x/α` along the way, shape `[n + 1, B, …]`.
  public let points: Tensor
  /// `A` along the way, in `x/α`, shape `[n + 1, B, d, d]`.
  public let jacobians: Tensor
  public let outcome: Outcome
}

/// The Jacobian of the probability flow along the way, with what makes it asymmetric.
///
/// - Cost: That of one integration with `d` products per evaluation, and `d` products for every node; `O(n B d²)` memory.
/// - Parameters:
///   - x: Points at the time `from`, shape `[B, …]`, `float32` or `float64`.
///   - denoiser: The model.
///   - fisher: The products `F v` of its Fisher.
///   - from: The time of the points.
///   - to: The time to carry them to, earlier or later.
///   - nodes: How many pieces of equal length in `log(σ/α)` are looked at.
///   - accuracy: The tolerance; what the element type supports where left out.
/// - Returns: The indices at every node.
///
/// Source: the commutator's bound is Böttcher & Wenzel 2008, doi:10.1016/j.laa.2008.05.020; that commuting is what counts, Lavenant &
/// Santambrogio 2022, arXiv:2201.01202.
public func transportDiagnostics<F: FisherAccess>(
  at x: Tensor, under denoiser: some Denoiser, fisher: F, from: Double, to: Double, nodes: Int = 40,
  accuracy: FlowAccuracy? = nil
) -> TransportDiagnostics where F.Operator: FisherMatvec {
  guard nodes > 0 else { fatalError("transportDiagnostics(nodes: \(nodes)): needs at least one") }
  let flow = RescaledFlow(denoiser, samples: x, from: from, to: to)
  let dimension = flow.dimension
  let field = TangentFlow(flow, fisher, count: dimension)
  let basis = Tensor.identity(dimension, on: x.device).expanded(at: 1)
    .broadcast(to: [dimension, x.batch, dimension])
  let accuracy = accuracy ?? .standard(for: x.elementType)
  let solver = Adaptive(
    EmbeddedRungeKutta.dormandPrince,
    StepController(rtol: accuracy.rtol, atol: accuracy.atol, norm: .maximum, stepLimit: accuracy.stepLimit))
  let grid = TimeGrid.even(nodes, from: flow.start, to: flow.end)

  var rows: [(asymmetry: Tensor, curl: Tensor, commutator: Tensor, points: Tensor, jacobian: Tensor)] = []
  var way = Trajectory(
    from: field.state(flow.rescaled(x), basis), along: grid, with: solver, in: field
  ).makeIterator()
  while let point = way.next() {
    let points = flow.points(point.state, at: point.time)
    let a = field.tangents(of: point.state).permuted(1, 2, 0)
    let f = fisher.fisher(at: points, time: flow.time(at: point.time)).dense(like: points).to(.float64)
    let product = 2.0.squareRoot() * f.norm(-2, -1) * a.norm(-2, -1)
    rows.append(
      (
        GradientIndices(of: a).asymmetry, GradientIndices(of: f).asymmetry,
        (f.matmul(a) - a.matmul(f)).norm(-2, -1) / product.clamped(.leastNormalMagnitude),
        field.points(of: point.state).reshaped(x.shape), a
      ))
  }
  return TransportDiagnostics(
    ratios: grid.times.map { .exp($0) }, asymmetry: .stacked(rows.map(\.asymmetry)), curl: .stacked(rows.map(\.curl)),
    commutator: .stacked(rows.map(\.commutator)), points: .stacked(rows.map(\.points)),
    jacobians: .stacked(rows.map(\.jacobian)), outcome: way.outcome)
}
