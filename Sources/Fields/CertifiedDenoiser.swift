import RealModule
import ScorefieldArrays
import ScorefieldPaths
import ScorefieldTensorCore

/// The posterior mean of a data set as cheaply as the noise level allows, with a bound of its error.
///
/// Four ways lead to it, and each query takes the first whose bound keeps the tolerance:
///
/// - *flat*: where all logits `s = ⟨x̄_Q, z⟩/k² − |z|²/(2k²)` are within `S` of 0, two moments of the data answer, and the remainder is
///   the third cumulant's, at most `R S²` with `R = max |y − c|`:
///
///       x̂₀ ≈ c + Q (E z + Cov(z, s))
///
/// - *reduced*: the data lie near a plane, `y = c + Q z + e`; the sum runs over the coordinates `z` alone. With
///   `η = (2|x̄⊥| ρ + ρ²)/(2k²)`, `ρ = max |e|` and `k = σ/α`, no weight is off by more than the factor `e^{2η}`, so
///
///       |δx̂₀| ≤ (e^{2η} − 1) √(tr C) + ρ
///
/// - *near*: only few points matter. `|x̄ − y|² ≥ |x̄_Q − z|² + (|x̄⊥| − |e|)²` orders the data; the nearest by that bound are summed
///   exactly, in `float64`, and with `L²` the bound of the next one all others weigh at most `w = e^{−L²/2k²}` together:
///
///       |δx̂₀| ≤ w/(w + mass) (max |y − c| + |x̂₀ − c|)
///
/// - *dense*: everything, by ``EmpiricalDenoiser``.
///
/// White noise for data has no plane, and at large `σ` every point of it matters: there is nothing to save then, and nothing is.
///
/// - Cost: `4 B N r` operations for the plane of dimension `r`; `O(B K d)` for the nearest `K`; where neither will do, the dense
///   sum of those queries on top.
public struct CertifiedDenoiser: Denoiser {
  public var schedule: any NoiseSchedule { whole.schedule }
  /// The data and their dense sum.
  public let whole: EmpiricalDenoiser
  /// The bound that is kept, relative to ``scale``.
  public let tolerance: Double
  /// How many points are summed exactly.
  public let nearest: Int
  private let rows: Tensor
  private let logWeights: Tensor?
  private let pointShape: [Int]
  private let plane: Subspace
  private let moments: Moments
  /// The field of the coordinates.
  private let inner: EmpiricalDenoiser

  /// The root of the data's mean squared distance from their mean, the unit of ``tolerance``.
  public var scale: Double { plane.scale }
  /// The dimension of the plane.
  public var rank: Int { plane.rank }
  /// How far a point is from the plane at most.
  public var largestResidual: Double { plane.largestResidual }

  /// The field of a data set.
  ///
  /// - Parameters:
  ///   - data: The points, shape `[N, …]`, `float32` or `float64`.
  ///   - weights: Their relative weights, shape `[N]`, positive; equal where left out.
  ///   - schedule: How they become noise.
  ///   - tolerance: The bound of the error, relative to the data's root mean squared distance from their mean.
  ///   - nearest: How many points may be summed exactly.
  ///   - rank: The largest dimension of the plane; an eighth of the data's, at least 64, where left out.
  public init(
    data: Tensor, weights: Tensor? = nil, on schedule: any NoiseSchedule, tolerance: Double = 1e-5, nearest: Int = 32,
    rank: Int? = nil
  ) {
    guard tolerance > 0, nearest > 0, rank.map({ $0 > 0 }) ?? true else {
      fatalError("CertifiedDenoiser(tolerance: \(tolerance), nearest: \(nearest)): both must be positive")
    }
    guard weights.map({ ($0 .> 0).all() }) ?? true else {
      fatalError("CertifiedDenoiser(weights: \(weights!.shape)): must be positive")
    }
    whole = EmpiricalDenoiser(data: data, weights: weights, on: schedule)
    (self.tolerance, self.nearest) = (tolerance, Swift.min(nearest, Swift.max(1, data.batch - 1)))
    (rows, pointShape) = (data.flattened, Array(data.shape.dropFirst()))
    logWeights = weights.map { ($0.to(.float64) / $0.to(.float64).sum()).log() }
    let dimension = rows.shape[1]
    plane = Subspace(of: rows, upTo: rank ?? (dimension <= 128 ? dimension : Swift.max(64, dimension / 8)))
    moments = Moments(plane.coordinates, logWeights?.exp())
    inner = EmpiricalDenoiser(data: plane.coordinates, weights: weights?.to(.float64), on: schedule)
  }

  /// Which way an answer came.
  public enum Way: String, Sendable, Codable { case flat, reduced, near, dense }

  /// Posterior means and how far they may be off.
  public struct Answer: Sendable {
    /// `x̂₀`, shape `[B, …]`.
    public let mean: Tensor
    /// The bound of `|δx̂₀|`, roundings of the plane's sums included, shape `[B]`, `float64`.
    public let errorBound: Tensor
    /// One for each query.
    public let ways: [Way]
  }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor { certified(x, at: t).mean }

  /// The posterior mean with a bound of its error.
  ///
  /// - Parameters:
  ///   - x: The points, shape `[B, …]`.
  ///   - t: The time.
  /// - Returns: Means, bounds and the ways they came.
  public func certified(_ x: Tensor, at t: Double) -> Answer {
    guard Array(x.shape.dropFirst()) == pointShape, x.elementType == rows.elementType else {
      fatalError(
        "certified(\(x.shape) \(x.elementType.rawValue)): the data are [N] + \(pointShape) \(rows.elementType.rawValue)"
      )
    }
    let kernel = schedule.kernel(at: t)
    let ratio = kernel.noiseToSignal
    let queries = x.flattened.to(.float64) / kernel.alpha
    let limit = tolerance * scale
    if let flat = flat(queries, ratio), (flat.bound .<= limit).all() {
      return Answer(
        mean: flat.mean.to(x.elementType).reshaped(x.shape), errorBound: flat.bound,
        ways: Array(repeating: .flat, count: x.batch))
    }
    var (means, bounds) = reduced(queries, t)
    var ways = [Way](repeating: .reduced, count: x.batch)
    let open = (bounds .> limit).flags.enumerated().filter(\.element).map(\.offset)
    if !open.isEmpty {
      let near = near(queries.selecting(Tensor(open)), ratio)
      let isClose = (near.bound .<= limit).flags
      for (index, query) in open.enumerated() { ways[query] = isClose[index] ? .near : .dense }
      let rest = open.enumerated().filter { !isClose[$0.offset] }.map(\.element)
      (means, bounds) = (means.putting(near.mean, at: open), bounds.putting(near.bound, at: open))
      if !rest.isEmpty {
        let dense = whole.denoise(x.selecting(Tensor(rest)), at: t).flattened
        means = means.putting(dense, at: rest)
        bounds = bounds.putting(Tensor.full([rest.count], denseBound(rest, queries, ratio), on: x.device), at: rest)
      }
    }
    return Answer(mean: means.to(x.elementType).reshaped(x.shape), errorBound: bounds, ways: ways)
  }

  /// The sum over the coordinates.
  private func reduced(_ queries: Tensor, _ t: Double) -> (mean: Tensor, bound: Tensor) {
    let kernel = schedule.kernel(at: t)
    let precision = 1 / (2 * kernel.noiseToSignal * kernel.noiseToSignal)
    let deviations = queries - plane.centre
    let inside = deviations.matmul(plane.axes.transposed)
    let outside = (deviations - inside.matmul(plane.axes)).norm(-1)
    let posterior = inner.posterior(kernel.alpha * inside, at: t)
    let residual = plane.largestResidual
    let eta = (2 * residual * outside + residual * residual) * precision
    // What products of coordinates may round of a logit, and what may be missing of the spread.
    let reach = inside.norm(-1) + plane.radius
    let rounding = (0x1p-50 * precision) * reach.squared()
    let spread = (posterior.covarianceTrace.clamped(0) + 0x1p-50 * plane.radius * plane.radius).sqrt()
    return (
      plane.centre + posterior.mean.matmul(plane.axes),
      (2 * (eta + rounding)).clamped(nil, 50).expm1() * spread + residual + rows.elementType.roundoff * plane.radius
    )
  }

  /// The first terms of the mean in `1/k²`; nil where that is hopeless for any query.
  private func flat(_ queries: Tensor, _ ratio: Double) -> (mean: Tensor, bound: Tensor)? {
    let radius = plane.radius
    let squares = radius * radius / (2 * ratio * ratio)
    guard radius * squares * squares <= tolerance * scale else { return nil }
    let inside = (queries - plane.centre).matmul(plane.axes.transposed)
    let pull = inside / (ratio * ratio)
    let mean = moments.mean + pull.matmul(moments.covariance) - moments.skew / (2 * ratio * ratio)
    let spread = pull.norm(-1) * radius + squares
    // Outside the plane a query is noise, and so much farther from it.
    let outside = (queries - plane.centre).norm(-1)
    let residual = plane.largestResidual
    let eta = (2 * residual * outside + residual * residual) / (2 * ratio * ratio)
    let bound = radius * spread.squared() + 2 * radius * (2 * eta).clamped(nil, 50).expm1() + residual
    return (plane.centre + mean.matmul(plane.axes), bound + rows.elementType.roundoff * radius)
  }

  /// What roundings can do to a dense sum.
  private func denseBound(_ queries: [Int], _ x: Tensor, _ ratio: Double) -> Double {
    let reach = (x.selecting(Tensor(queries)) - plane.centre).norm(-1).max().item
    // A sum by differences rounds logits of d/2; one by products those of its terms.
    let logit = Swift.max(4 * reach * plane.radius / (ratio * ratio), Double(rows.shape[1]))
    return rows.elementType.roundoff * (2 * logit * plane.scale + plane.radius)
  }

  /// The nearest points, exactly, and what all others may weigh.
  private func near(_ queries: Tensor, _ ratio: Double) -> (mean: Tensor, bound: Tensor) {
    let precision = 1 / (2 * ratio * ratio)
    let screen = Screen(plane, queries, nearest: nearest)
    let (positions, next) = (screen.positions, screen.next)
    // A few queries at a time: their points are copied.
    let step = Swift.max(1, (1 << 22) / (nearest * queries.shape[1]))
    var (means, bounds): ([Tensor], [Tensor]) = ([], [])
    for first in stride(from: 0, to: queries.batch, by: step) {
      let range = first..<Swift.min(first + step, queries.batch)
      let places = positions[range].reshaped([-1])
      let shape = [range.count, nearest, queries.shape[1]]
      let points = rows.selecting(places).reshaped(shape).to(.float64)
      let differences = points - queries[range].expanded(at: 1)
      let prior = logWeights?.selecting(places).reshaped([range.count, nearest])
      let logits = differences.squared().sum(-1) * -precision + (prior ?? .full([1, 1], -.log(Double(rows.batch))))
      let weights = logits.softmax(-1)
      let mean = queries[range] + weights.expanded(at: 1).matmul(differences).squeezed(1)
      // All that is left out together, beside what is there.
      let rest = (next[range] * -precision - logits.logSumExp(-1)).exp()
      let reach = (mean - plane.centre).norm(-1) + plane.radius
      means.append(mean)
      bounds.append(rest / (1 + rest) * reach + rows.elementType.roundoff * reach)
    }
    return (.concatenated(means), .concatenated(bounds))
  }
}

/// `E z`, `Cov z` and `Cov(z, |z|²)` of the coordinates, `[r]`, `[r, r]` and `[r]`.
private struct Moments {
  let mean, covariance, skew: Tensor

  init(_ coordinates: Tensor, _ weights: Tensor?) {
    let shares = (weights ?? .full([coordinates.batch], 1 / Double(coordinates.batch), on: coordinates.device))
      .expanded(at: 1)
    mean = (shares * coordinates).sum(0)
    let deviations = coordinates - mean
    covariance = (shares * deviations).transposed.matmul(deviations)
    let squares = coordinates.squared().sum(-1, keeping: true)
    skew = (shares * deviations * squares).sum(0)
  }
}

/// The nearest points by their lower bounds `|x̄_Q − z|² + (|x̄⊥| − |e|)²`, in one stream over the coordinates.
private struct Screen {
  /// The nearest by the bound, `[B, K]`, and the squared bound of the next one, `[B]`, infinite where there is none.
  let positions, next: Tensor

  init(_ plane: Subspace, _ queries: Tensor, nearest: Int) {
    let deviations = queries - plane.centre
    let inside = deviations.matmul(plane.axes.transposed)
    let outside = (deviations - inside.matmul(plane.axes)).norm(-1, keeping: true)
    var (positions, bounds): (Tensor?, Tensor?)
    let count = plane.coordinates.batch
    let step = Swift.max(256, Swift.min(1 << 14, (1 << 19) / Swift.max(queries.batch, 1)))
    let squares = inside.squared().sum(-1, keeping: true)
    for first in stride(from: 0, to: count, by: step) {
      let range = first..<Swift.min(first + step, count)
      let tile = plane.coordinates[range]
      let distances = (squares + tile.squared().sum(-1) - 2 * inside.matmul(tile.transposed)).clamped(0)
      let below = distances + (outside - plane.residuals[range]).squared()
      let found = below.top(Swift.min(nearest + 1, range.count), largest: false)
      let places = found.positions + Double(first)
      if let before = bounds, let beforePlaces = positions {
        let both = Tensor.concatenated([before, found.values], -1)
        let best = both.top(Swift.min(nearest + 1, both.shape[1]), largest: false)
        positions = Tensor.concatenated([beforePlaces, places], -1).gathered(best.positions, -1)
        bounds = best.values
      } else {
        (positions, bounds) = (places, found.values)
      }
    }
    self.positions = positions!.narrowed(1, from: 0, count: nearest)
    // Roundings of distances by products.
    let reach = (squares.sqrt() + plane.radius).squeezed(-1)
    next =
      count > nearest
      ? (bounds![Axis.all, nearest] - 0x1p-50 * reach.squared()).clamped(0)
      : .full([queries.batch], .infinity, on: queries.device)
  }
}

extension Tensor {
  /// The same with other rows at some positions.
  fileprivate func putting(_ rows: Tensor, at positions: [Int]) -> Tensor {
    var source = Array(0..<batch)
    for (index, position) in positions.enumerated() { source[position] = batch + index }
    return Tensor.concatenated([self, rows.to(elementType)]).selecting(Tensor(source))
  }
}

extension ElementType {
  /// The relative error of one rounding.
  fileprivate var roundoff: Double { self == .float64 ? 0x1p-53 : 0x1p-24 }
}
