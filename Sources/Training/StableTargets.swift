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
  /// What is known of the reference, `[M, c]`.
  private let conditions: Tensor?

  /// - Parameters:
  ///   - reference: Points, shape `[M, …]`.
  ///   - conditions: The class of each as a row of zeros with a one, shape `[M, c]`; nil where there are none.
  public init(over reference: Tensor, conditions: Tensor? = nil) {
    guard conditions.map({ $0.rank == 2 && $0.batch == reference.batch }) ?? true else {
      fatalError("StableTargets(over: \(reference.shape), conditions: \(conditions!.shape)): needs one row per point")
    }
    guard reference.rank >= 1, reference.batch > 0 else {
      fatalError("StableTargets(over: \(reference.shape)): needs at least one point")
    }
    let points = reference.to(.float64).flattened
    centre = points.mean(0)
    rows = points - centre
    squares = rows.squared().sum(-1)
    self.conditions = conditions?.to(.float64)
  }

  /// What keeps a point out of a posterior: less than any logit, and no infinity, for all of a tile may be out.
  private static let exclusion = -1e30

  /// Elements of a tile of weights.
  private static let tileSize = 1 << 20

  /// The posterior of each sample over the reference set.
  ///
  /// - Parameters:
  ///   - sample: Noised data.
  ///   - condition: The class of each, shape `[B, c]`; only looked at where those of the reference are known.
  /// - Returns: The posterior.
  public func target(for sample: PathSample, condition: Tensor? = nil) -> PosteriorTarget {
    withoutGradient {
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
        let logits = (origin.matmul(tile.transposed) - 0.5 * squares[range]) * precision
        let weights = sums.admit(excluded(range, condition).map { logits + $0 } ?? logits)
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

  /// What is added to the logits of some of the reference, `[B, n]`; nil for nothing.
  private func excluded(_ range: Range<Int>, _ condition: Tensor?) -> Tensor? {
    guard let conditions, let condition else { return nil }
    let given = condition.to(.float64)
    return Self.exclusion * (given.sum(-1, keeping: true) - given.matmul(conditions[range].transposed))
  }
}
