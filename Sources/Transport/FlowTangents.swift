import ScorefieldArrays
import ScorefieldFields
import ScorefieldFisher
import ScorefieldInference
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// What the flow makes of points and of vectors at them.
public struct FlowTangents: Sendable {
  /// The points at the time that was asked for, or where the integration stopped, shape `[B, …]`.
  public let endpoint: Tensor
  /// How far they may be off, `|δx|`, shape `[B]`.
  public let endpointError: Tensor
  /// `J v`, or `Jᵀ v`, shape `[n, B, …]`, `float64`.
  public let tangents: Tensor
  /// How far each may be off, in every coordinate, shape `[n, B, …]`.
  public let tangentErrors: Tensor
  /// Evaluations of the flow, each one of the denoiser and one product for every vector.
  public let evaluations: Int
  public let outcome: Outcome
}

/// Products `J v` with the Jacobian of the probability flow's map between two times.
///
///     dx̄/dκ = x̄ − x̂₀(α x̄, t),   dv/dκ = σ² F(α x̄, t) v,   J v = (α_to/α_from) v(κ_to)
///
/// - Cost: `1 + n` evaluations of the denoiser, or of what a product costs, per evaluation of the flow; `O(n B d)` memory. No
///   Jacobian is formed.
/// - Parameters:
///   - vectors: The vectors `v`, shape `[n, B, …]`.
///   - x: Points at the time `from`, shape `[B, …]`, `float32` or `float64`.
///   - denoiser: The model.
///   - fisher: The products `F v` of its Fisher: exact of exact fields, else by forward differentiation.
///   - from: The time of the points.
///   - to: The time to carry them to, earlier or later.
///   - accuracy: The tolerance; what the element type supports where left out.
/// - Returns: The points and the vectors there, with their errors.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, corollary 1 and eqs. 46–53, in coordinates where all schedules are one.
public func flowTangents<F: FisherAccess>(
  _ vectors: Tensor, at x: Tensor, under denoiser: some Denoiser, fisher: F, from: Double, to: Double,
  accuracy: FlowAccuracy? = nil
) -> FlowTangents where F.Operator: FisherMatvec {
  let flow = RescaledFlow(denoiser, samples: x, from: from, to: to)
  requireVectors("flowTangents", vectors, at: x)
  let field = TangentFlow(flow, fisher, count: vectors.batch)
  let start = field.state(flow.rescaled(x), vectors.to(.float64).vectors)
  let end = (accuracy ?? .standard(for: x.elementType))
    .integrate(start, from: flow.start, to: flow.end, in: field)
  let schedule = denoiser.schedule
  let scale = schedule.kernel(at: flow.time(at: end.time)).alpha / schedule.kernel(at: from).alpha
  return FlowTangents(field, end, scale: scale, like: vectors)
}

/// Products `Jᵀ v` with the transposed Jacobian of the probability flow's map between two times.
///
///     dλ/dκ = −σ² F(α x̄, t)ᵀ λ,   λ(κ_to) = v,   Jᵀ v = (α_to/α_from) λ(κ_from)
///
/// The flow runs to `to` first and leaves a state every quarter of `κ`; the way back starts anew at each, so that what the flow
/// amplifies backwards has no room to grow.
///
/// - Cost: Twice that of ``flowTangents(_:at:under:fisher:from:to:accuracy:)``, and one state per quarter of `κ`.
/// - Parameters:
///   - vectors: The vectors `v` at the endpoint, shape `[n, B, …]`.
///   - x: Points at the time `from`, shape `[B, …]`, `float32` or `float64`.
///   - denoiser: The model.
///   - fisher: The products `Fᵀ v` of its Fisher: exact of exact fields, else by reverse differentiation.
///   - from: The time of the points.
///   - to: The time they are carried to, earlier or later.
///   - accuracy: The tolerance; what the element type supports where left out.
/// - Returns: The points at `to` and the vectors at `from`, with their errors.
///
/// Source: Chen et al. 2018, arXiv:1806.07366, eq. 4, with states kept as checkpoints.
public func flowCotangents<F: FisherAccess>(
  _ vectors: Tensor, at x: Tensor, under denoiser: some Denoiser, fisher: F, from: Double, to: Double,
  accuracy: FlowAccuracy? = nil
) -> FlowTangents where F.Operator: FisherMatvec {
  requireVectors("flowCotangents", vectors, at: x)
  return flowCotangents(
    count: vectors.batch, at: x, under: denoiser, fisher: fisher, from: from, to: to, accuracy: accuracy
  ) { _ in vectors }
}

/// The same of vectors that are known where the flow has led, such as the gradient of a loss there.
func flowCotangents<F: FisherAccess, E: Error>(
  count: Int, at x: Tensor, under denoiser: some Denoiser, fisher: F, from: Double, to: Double,
  accuracy: FlowAccuracy?, of vectors: (_ endpoint: Tensor) throws(E) -> Tensor
) throws(E) -> FlowTangents where F.Operator: FisherMatvec {
  let flow = RescaledFlow(denoiser, samples: x, from: from, to: to)
  let accuracy = accuracy ?? FlowAccuracy.standard(for: x.elementType)
  let pieces = max(1, Int((4 * abs(flow.end - flow.start)).rounded(.up)))
  let nodes = TimeGrid.even(pieces, from: flow.start, to: flow.end).times

  var states = [flow.rescaled(x)]
  var (drift, evaluations) = (Tensor.zeros(like: states[0]), 0)
  func stopped(_ outcome: Outcome, at kappa: Double) -> FlowTangents {
    let unknown = Tensor.full([count] + x.shape, .nan, on: x.device)
    return FlowTangents(
      endpoint: flow.points(states[states.count - 1], at: kappa), endpointError: .full([x.batch], .infinity),
      tangents: unknown, tangentErrors: unknown, evaluations: evaluations, outcome: outcome)
  }
  for (now, next) in zip(nodes, nodes.dropFirst()) {
    let piece = accuracy.integrate(states[states.count - 1], from: now, to: next, in: flow)
    evaluations += piece.evaluations
    guard piece.outcome == .converged else { return stopped(piece.outcome, at: now) }
    states.append(piece.state)
    drift += piece.change.abs()
  }

  let vectors = try vectors(flow.points(states[pieces], at: flow.end))
  let field = TangentFlow(flow, fisher, count: count)
  var cotangents = vectors.to(.float64).vectors
  var errors = Tensor.zeros(like: cotangents)
  let backward = TangentFlow(flow, fisher, count: count, sign: -1)
  for index in (0..<pieces).reversed() {
    let piece = accuracy.integrate(
      backward.state(states[index + 1], cotangents), from: nodes[index + 1], to: nodes[index], in: backward)
    evaluations += piece.evaluations
    guard piece.outcome == .converged else { return stopped(piece.outcome, at: nodes[index + 1]) }
    cotangents = field.tangents(of: piece.state)
    errors += field.tangents(of: piece.change).abs()
  }
  let (first, last) = (denoiser.schedule.kernel(at: from).alpha, denoiser.schedule.kernel(at: to).alpha)
  let whole = FlowAccuracy.Twofold(
    state: field.state(states[pieces], cotangents), change: field.state(drift, errors), time: flow.end,
    evaluations: evaluations, outcome: .converged)
  return FlowTangents(field, whole, scale: last / first, like: vectors)
}

extension FlowTangents {
  /// The end of an integration in the coordinates of `x`.
  init<F>(_ field: TangentFlow<F>, _ end: FlowAccuracy.Twofold, scale: Double, like vectors: Tensor) {
    let flow = field.flow
    let alpha = flow.denoiser.schedule.kernel(at: flow.time(at: end.time)).alpha
    let rounding = flow.elementType.flowRoundoff
    let (moved, tangents) = (field.points(of: end.state), field.tangents(of: end.state))
    self.init(
      endpoint: flow.points(end.state, at: end.time),
      endpointError: alpha * (field.points(of: end.change).norm(-1) + rounding * moved.norm(-1)),
      tangents: (scale * tangents).reshaped(vectors.shape),
      tangentErrors: (abs(scale)
        * (field.tangents(of: end.change).abs()
          + rounding * tangents.norm(-1, keeping: true) / Double(max(flow.dimension, 1)).squareRoot()))
        .reshaped(vectors.shape),
      evaluations: end.evaluations, outcome: end.outcome)
  }
}

private func requireVectors(_ operation: String, _ vectors: Tensor, at x: Tensor) {
  guard vectors.rank == x.rank + 1, Array(vectors.shape.dropFirst()) == x.shape, vectors.batch > 0 else {
    fatalError("\(operation)(\(vectors.shape), at: \(x.shape)): needs [n, B, …] and [B, …], n > 0")
  }
}

extension TimeGrid {
  /// Nodes of equal distance, the ends exact.
  static func even(_ pieces: Int, from: Double, to: Double) -> TimeGrid {
    TimeGrid((0...pieces).map { $0 == pieces ? to : from + (to - from) * Double($0) / Double(pieces) })
  }
}
