import ScorefieldFields
import ScorefieldFisher
import ScorefieldPaths
import ScorefieldTensorCore

/// Targets that are posteriors over a reference set, not single draws: the same minimiser, far less variance.
///
///     wᵢ ∝ exp(−|x̄ − yᵢ|²/(2k²)),   x̄ = x_t/α,   k = σ/α
///
/// Where the conditions of the reference are known, a sample's posterior is over those points that share its own; one whose
/// condition is all zeros has them all.
///
/// With the whole data set as the reference they are exact; with a part of it they are biased towards it, the less the
/// larger it is.
///
/// - Cost: `O(B·M·d)` for `M` reference points, streamed in tiles.
///
/// Source: Xu, Tong & Jaakkola 2023, arXiv:2302.00670, eq. 6; centred at `x̄`, with the second moment, ours.
public struct StableTargets: Sendable {
  /// The reference without its mean, `[M, d]`, and that mean, `[d]`; `float64`, for logits are large where noise is small.
  private let rows, centre: Tensor
  private let squares: Tensor
  /// The class of each reference point as a row of zeros with a one, `[M, c]`; nil where nothing is known of them.
  private let classes: Tensor?

  /// - Parameters:
  ///   - reference: Points, shape `[M, …]`.
  ///   - conditions: The class of each as a row of zeros with a one, shape `[M, c]`.
  public init(over reference: Tensor, conditions: Tensor? = nil) {
    guard reference.rank >= 1, reference.batch > 0, conditions == nil || conditions!.shape.first == reference.batch
    else {
      fatalError(
        "StableTargets(over: \(reference.shape), conditions: \(conditions.map { "\($0.shape)" } ?? "none")): needs at least "
          + "one point, and a row of classes for each")
    }
    classes = conditions?.to(.float64)
    let points = reference.to(.float64).flattened
    centre = points.mean(0)
    rows = points - centre
    squares = rows.squared().sum(-1)
  }

  /// Elements of a tile of weights.
  private static let tileSize = 1 << 20

  /// The posterior of each sample over the reference set.
  ///
  /// - Parameters:
  ///   - sample: The samples.
  ///   - condition: The classes of the samples, as rows like those of the reference; zeros, or nil, for all classes.
  /// - Returns: The posteriors over the points of each sample's class.
  public func target(for sample: PathSample, condition: Tensor? = nil) -> PosteriorTarget {
    guard condition == nil || classes != nil else {
      fatalError("target(for:condition:): the reference points have no classes; take single draws with conditions")
    }
    return withoutGradient {
      let type = sample.point.elementType
      let point = sample.point.to(.float64).flattened
      let alpha = sample.kernels.column(like: point) { $0.alpha }
      let ratio = sample.kernels.column(like: point) { $0.sigma / $0.alpha }
      let precision = ratio.squared().reciprocal()
      let origin = point / alpha - centre

      // Moments about the reference's centre: float64 leaves more than float32 shows after the difference below.
      var sums = StreamedMoments(for: origin, along: nil, second: true)
      let step = max(64, Self.tileSize / max(origin.batch, 1))
      for first in stride(from: 0, to: rows.batch, by: step) {
        let range = first..<min(first + step, rows.batch)
        let tile = rows[range]
        var logits = (origin.matmul(tile.transposed) - 0.5 * squares[range]) * precision
        if let condition, let classes {
          let given = condition.to(.float64)
          let isOther = (given.matmul(classes[range].transposed) .== 0) .& (given.sum(-1, keeping: true) .> 0)
          // Not −∞: a tile may hold no point of a class.
          logits = logits.replacing(with: -1e300, where: isOther)
        }
        let weights = sums.admit(logits)
        let mass = weights.sum(-1, keeping: true)
        let mean = weights.matmul(tile) / mass.clamped(StreamedMoments.negligibleMass)
        let spread = weights.matmul(squares[range].expanded(at: 1)) - mass * mean.squared().sum(-1, keeping: true)
        sums.merge(.init(mass: mass, mean: mean, spread: spread, product: nil))
      }
      let spread = sums.spread!.clamped(0)
      let data = sums.mean + centre
      return PosteriorTarget(
        data: data.reshaped(sample.data.shape).to(type),
        noise: ((origin - sums.mean) / ratio).reshaped(sample.data.shape).to(type),
        residual: (spread / ratio.squared().squeezed(-1)).to(type), spread: spread.to(type))
    }
  }
}
