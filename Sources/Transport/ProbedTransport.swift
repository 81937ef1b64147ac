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
  /// How far the estimate may be off by the integration's error alone, shape `[B]`.
  public let asymmetryError: Tensor
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
///     P(mean (uᵀKv)² ≤ x|K|²) ≤ min_λ (e^{λx} E (1 + 2λE₁)^{−½})ⁿ,   x ≤ 1
///     P(mean |J v|² ≥ x|J|²) ≤ (x e^{1−x})ⁿ,   x ≥ 1
///
/// Both are Chernoff's bounds and hold for every spectrum. Given `v`, `uᵀKv` is normal with variance `|K v|²`, which is a weighted
/// mean of exponential variables `E₁` times `|K|²`: the singular values of an antisymmetric matrix come in pairs. The expectation is
/// convex in the weights, and largest where one has all. The second runs over the `2n` probes, and is again worst at rank one. Half
/// of `1 − confidence` goes to each, and together they bound the index from above.
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
  let asymmetryError =
    (skewErrors.squared().mean(0).sqrt() + 2 * asymmetry * errors.squared().sum(-1).mean(0).sqrt())
    / (2 * meanSquare.sqrt()).clamped(.leastNormalMagnitude)
  let risk = (1 - confidence) / 2
  let skewBound = ((skews.abs() + skewErrors).squared().mean(0) / skewRatio(pairs: pairs, risk: risk)).sqrt()
  let sizeBound = (meanSquare / sizeRatio(probes: 2 * pairs, risk: risk)).sqrt() - errors.norm(-1).max(0)
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
    asymmetry: asymmetry, asymmetryError: asymmetryError, asymmetryBound: bound, confidence: confidence,
    smallestRitzValue: ritz,
    ritzError: ritzError, answers: answers, evaluations: end.evaluations, outcome: end.outcome)
}

/// The `x ≥ 1` with `(x e^{1−x})^{m/2} = risk`, by bisection: `m` squares of normal variables have no mean above, but with `risk`.
func sizeRatio(probes count: Int, risk: Double) -> Double {
  let target = 2 * .log(risk) / Double(count)
  var (low, high) = (1.0, 2 - 2 * target)
  for _ in 0..<100 {
    let middle = 0.5 * (low + high)
    if .log(middle) + 1 - middle > target { low = middle } else { high = middle }
  }
  return high
}

/// The `x ≤ 1` with `min_λ (e^{λx} E (1 + 2λE₁)^{−½})ⁿ = risk`: `n` squares of products have no mean below, but with `risk`.
///
///     E (1 + 2λE₁)^{−½} = √π y e^{y²} erfc(y),   y = 1/√(2λ)
func skewRatio(pairs count: Int, risk: Double) -> Double {
  /// `log(y e^{y²} erfc(y) √π)`.
  func logMean(_ y: Double) -> Double {
    // erfc underflows from 26 on; its continued fraction's first terms leave 1 − 1/(2y²) + 3/(4y⁴).
    let r = 1 / (2 * y * y)
    if y > 20 { return .log(onePlus: -r + 3 * r * r - 15 * r * r * r) }
    return .log(y * Double.pi.squareRoot() * .erfc(y)) + y * y
  }
  /// The least of a function that falls and rises, over `log y`.
  func exponent(_ x: Double) -> Double {
    func value(_ u: Double) -> Double { let y = Double.exp(u); return x / (2 * y * y) + logMean(y) }
    var (low, high) = (Double.log(1e-6), Double.log(1e3))
    for _ in 0..<200 {
      let (a, b) = (low + (high - low) / 3, high - (high - low) / 3)
      if value(a) < value(b) { high = b } else { low = a }
    }
    return value(0.5 * (low + high))
  }
  let target = Double.log(risk) / Double(count)
  var (low, high) = (0.0, 1.0)
  for _ in 0..<60 {
    let middle = 0.5 * (low + high)
    if exponent(middle) < target { low = middle } else { high = middle }
  }
  return low
}
