import RealModule
import ScorefieldArrays
import ScorefieldFields
import ScorefieldFisher
import ScorefieldSolvers
import ScorefieldTensorCore

/// What random probes say of the Jacobian of a flow's map, where it is too large to be formed.
///
/// With `K = J − Jᵀ` and normal `u`, `v`: `E (uᵀKv)² = |K|²` and `E |J v|² = |J|²` in Frobenius's norm.
public struct ProbedTransport: Sendable {
  /// Where the points are at the time that was asked for, or where the integration stopped, shape `[B, …]`.
  public let endpoint: Tensor
  /// How far they may be off, `|δx|`, shape `[B]`.
  public let endpointError: Tensor
  /// `uᵀJv − vᵀJu` of every pair, shape `[pairs, B]`.
  public let skews: Tensor
  /// How far each may be off by the integration's error, shape `[pairs, B]`.
  public let skewErrors: Tensor
  /// An estimate of `|J − Jᵀ|/(2|J|)`, shape `[B]`.
  public let asymmetry: Tensor
  /// What the index does not exceed, in so many of all cases as ``confidence`` says, shape `[B]`.
  public let asymmetryBound: Tensor
  /// The probability that the bound holds at a point, over the probes.
  public let confidence: Double
  /// The smallest Ritz value of the symmetric part in the span of all probes: its smallest eigenvalue is not above, shape `[B]`.
  public let smallestRitzValue: Tensor
  /// How far the Ritz value may be off by the integration's error, shape `[B]`.
  public let ritzError: Tensor
  /// What follows, one for each point; an error of the probes makes no map an optimal one that is not.
  public let answers: [TransportAnswer]
  /// Evaluations of the flow, each one of the denoiser and `2 pairs` products.
  public let evaluations: Int
  public let outcome: Outcome
}

/// Whether the probability flow's map between two times can be an optimal transport, in many dimensions.
///
///     P(maxᵢ |uᵢᵀKvᵢ| ≤ ε|K|) ≤ (√2 ε)ⁿ,   P(mean |J v|² ≥ x|J|²) ≤ (x e^{1−x})^{n},   x ≥ 1
///
/// The first holds for every antisymmetric `K`: given `v` the product is normal with deviation `|K v|`, whose square is a
/// weighted mean of exponential variables times `|K|²`; `E |Kv|⁻¹` is convex in the weights and largest where one has all, where it
/// is `√π/|K|`. The second is Chernoff's bound over the `2n` probes, again worst at rank one. Half of `1 − confidence` goes to each,
/// and together they bound the index from above without any assumption on the spectrum.
///
/// - Cost: `1 + 2n` evaluations of the denoiser, or of what a product costs, per evaluation of the flow; `O(n B d)` memory.
/// - Parameters:
///   - x: Points at the time `from`, shape `[B, …]`, `float32` or `float64`.
///   - denoiser: The model.
///   - fisher: The products `F v` of its Fisher: exact of exact fields, else by forward differentiation.
///   - from: The time of the points.
///   - to: The time to carry them to, earlier or later.
///   - pairs: The number of pairs of probes, `n`.
///   - confidence: The probability with which the bound shall hold.
///   - resolution: The bound of the index up to which a map is called optimal.
///   - seed: What the probes are drawn from.
///   - accuracy: The tolerance; what the element type supports where left out.
/// - Returns: The index with its bound.
///
/// Source: the bounds are ours, from Chernoff 1952, doi:10.1214/aoms/1177729330, and Markov's inequality.
public func probedTransport<F: FisherAccess>(
  at x: Tensor, under denoiser: some Denoiser, fisher: F, from: Double, to: Double, pairs: Int = 8,
  confidence: Double = 0.95, resolution: Double = 0.01, seed: UInt64 = 0, accuracy: FlowAccuracy? = nil
) -> ProbedTransport where F.Operator: FisherMatvec {
  guard pairs > 0, confidence > 0, confidence < 1 else {
    fatalError("probedTransport(pairs: \(pairs), confidence: \(confidence)): needs pairs > 0 and 0 < confidence < 1")
  }
  var generator = Generator(seed: seed, on: x.device)
  let probes = ProbeDistribution.gaussian.draw(2 * pairs, like: x.to(.float64), using: &generator)
  let end = flowTangents(
    probes, at: x, under: denoiser, fisher: fisher, from: from, to: to, accuracy: accuracy)

  let (vectors, images, errors) = (probes.vectors, end.tangents.vectors, end.tangentErrors.vectors)
  let (u, v) = (vectors[..<pairs], vectors[pairs...])
  let skews = u.dot(images[pairs...]) - v.dot(images[..<pairs])
  // Cauchy and Schwarz: what changes between the runs has no sign that could be relied on.
  let skewErrors = u.norm(-1) * errors[pairs...].norm(-1) + v.norm(-1) * errors[..<pairs].norm(-1)

  let meanSquare = images.squared().sum(-1).mean(0)
  let asymmetry = (skews.squared().mean(0) / (4 * meanSquare).clamped(.leastNormalMagnitude)).sqrt()
  let risk = (1 - confidence) / 2
  let skewBound = (skews.abs() + skewErrors).max(0) * (2.0.squareRoot() / .pow(risk, 1 / Double(pairs)))
  let sizeBound = (meanSquare / chernoffRatio(probes: 2 * pairs, risk: risk)).sqrt() - errors.norm(-1).max(0)
  let bound = (skewBound / (2 * sizeBound).clamped(.leastNormalMagnitude)).clamped(nil, 1)

  // No more directions than there are dimensions; signs of the basis do not matter.
  let span = min(2 * pairs, x.dimension)
  let directions = vectors[..<span].permuted(1, 2, 0)
  let (q, r) = directions.qr()
  let projected = r.transposed.solveTriangular(
    q.transposed.matmul(images[..<span].permuted(1, 2, 0)).transposed, upper: false
  ).transposed
  let ritz = (0.5 * (projected + projected.transposed)).eigh().values[Axis.all, 0]
  let inverse = r.solveTriangular(.identity(span, on: x.device).expanded(at: 0).broadcast(to: r.shape), upper: true)
  let ritzError = inverse.norm(-2, -1) * errors[..<span].squared().sum(-1).sum(0).sqrt()

  let isRefuted =
    ((skews.abs() .> skewErrors).any(0) .| (ritz .< -ritzError)).flags
  let answers = zip(isRefuted, bound.doubles).map { isRefuted, bound -> TransportAnswer in
    if end.outcome != .converged { return .undecided }
    return isRefuted ? .notOptimal : bound <= resolution ? .optimal : .undecided
  }
  return ProbedTransport(
    endpoint: end.endpoint, endpointError: end.endpointError, skews: skews, skewErrors: skewErrors,
    asymmetry: asymmetry, asymmetryBound: bound, confidence: confidence, smallestRitzValue: ritz,
    ritzError: ritzError, answers: answers, evaluations: end.evaluations, outcome: end.outcome)
}

/// The `x ≥ 1` with `(x e^{1−x})^{m/2} = risk`, by bisection: `m` squares of normal variables have no mean above, but with `risk`.
func chernoffRatio(probes count: Int, risk: Double) -> Double {
  let target = 2 * .log(risk) / Double(count)
  var (low, high) = (1.0, 2 - 2 * target)
  for _ in 0..<100 {
    let middle = 0.5 * (low + high)
    if .log(middle) + 1 - middle > target { low = middle } else { high = middle }
  }
  return high
}
