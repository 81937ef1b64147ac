import RealModule
import ScorefieldArrays
import ScorefieldPaths
import ScorefieldTensorCore
import Synchronization

/// The posterior mean of a data set as cheaply as the noise level allows, with a bound of its error.
///
/// Four ways lead to it, and each query takes the first whose bound keeps the tolerance:
///
/// - *flat*: where all logits `s = ⟨x̄_Q, z⟩/k² − |z|²/(2k²)` are within `S` of 0, two moments of the data answer, and the remainder is
///   the third cumulant's, at most `R S²` with `R = max |y − c|`:
///
///       x̂₀ ≈ c + Q (E z + Cov(z, s))
///
/// - *reduced*: the data lie near a plane, `y = c + Q z + e`; the sum runs over the coordinates `z` alone. No logit is off by
///   more than `|e| (|x̄⊥| + |e|/2)/k²`, nor by more than `η`, the same of the largest residual `ρ`, and so with `k = σ/α`
///
///       |δx̂₀| ≤ e^{2η} √(E|e|²) (|x̄⊥| + ρ/2)/k² √(tr C) + ρ
///
/// - *near*: only few points matter. `|x̄ − y|² ≥ |x̄_Q − z|² + (|x̄⊥| − |e|)²` orders the data; the nearest by that bound are summed
///   exactly, in `float64`, and with `L²` the bound of the next one all others weigh at most `w = e^{−L²/2k²}` together:
///
///       |δx̂₀| ≤ w/(w + mass) (max |y − c| + |x̂₀ − c|)
///
/// - *dense*: everything, by ``EmpiricalDenoiser``. Logits that are off by at most `η` move the mean by
///
///       |δx̂₀| ≤ (e^{2η} − 1) √(tr C)
///
/// Where no way keeps the tolerance, the dense sum answers with the bound that it has. Storing the answer in the type of the data loses
/// more the farther the data lie from 0; that is no matter of the way, and comes on top of each bound.
///
/// White noise for data has no plane, and at large `σ` every point of it matters: there is nothing to save then, and nothing is.
///
/// - Cost: `4 B N r` operations for the plane of dimension `r`; `O(B K d)` for the nearest `K`; where neither will do, the dense
///   sum of those queries on top.
public struct CertifiedDenoiser: Denoiser {
  public var schedule: any NoiseSchedule { whole.schedule }
  /// The data and their dense sum.
  public let whole: EmpiricalDenoiser
  /// The bound that is asked of a way, relative to ``scale``; ``Answer/errorBound`` tells what came of it.
  public let tolerance: Double
  /// How many points are summed exactly.
  public let nearest: Int
  /// What its answers were worth, where that is written down.
  public let certificate: Certificate?
  private let rows: Tensor
  private let logWeights: Tensor?
  private let pointShape: [Int]
  private let plane: Subspace
  private let moments: Moments
  /// The field of the coordinates, and of `|e|²` as one more that is too small to be seen in a distance: its mean is
  /// `E|e|²`, in units of `residualUnit`.
  private let inner: EmpiricalDenoiser
  private let residualUnit: Double
  /// `|c|`.
  private let origin: Double
  private let screen: Screen

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
  ///   - certificate: Where the bounds of all answers are written down.
  public init(
    data: Tensor, weights: Tensor? = nil, on schedule: any NoiseSchedule, tolerance: Double = 1e-5, nearest: Int = 32,
    rank: Int? = nil, certificate: Certificate? = nil
  ) {
    guard tolerance > 0, nearest > 0, rank.map({ $0 > 0 }) ?? true else {
      fatalError("CertifiedDenoiser(tolerance: \(tolerance), nearest: \(nearest)): both must be positive")
    }
    guard weights.map({ ($0 .> 0).all() }) ?? true else {
      fatalError("CertifiedDenoiser(weights: \(weights!.shape)): must be positive")
    }
    self.certificate = certificate
    whole = EmpiricalDenoiser(data: data, weights: weights, on: schedule)
    (self.tolerance, self.nearest) = (tolerance, Swift.min(nearest, Swift.max(1, data.batch - 1)))
    (rows, pointShape) = (data.flattened, Array(data.shape.dropFirst()))
    logWeights = weights.map { ($0.to(.float64) / $0.to(.float64).sum()).log() }
    let dimension = rows.shape[1]
    let plane = Subspace(of: rows, upTo: rank ?? (dimension <= 128 ? dimension : Swift.max(64, dimension / 8)))
    self.plane = plane.bare
    origin = plane.centre.norm(-1).item
    moments = Moments(plane.coordinates, logWeights?.exp())
    let largest = plane.largestResidual
    residualUnit = largest > 0 ? largest * largest / (Self.hidden * plane.radius) : 1
    inner = EmpiricalDenoiser(
      data: .concatenated([plane.coordinates, (plane.residuals.squared() / residualUnit).expanded(at: 1)], -1),
      weights: weights?.to(.float64), on: schedule)
    screen = Screen(plane, type: rows.elementType)
  }

  /// How large the coordinate of the residuals may be beside the radius.
  private static let hidden = 0x1p-30

  /// Which way an answer came.
  public enum Way: String, Sendable, Codable { case flat, reduced, near, dense }

  /// Posterior means and how far they may be off.
  public struct Answer: Sendable {
    /// `x̂₀`, shape `[B, …]`.
    public let mean: Tensor
    /// The bound of `|δx̂₀|`, roundings and what storing it loses included, shape `[B]`, `float64`.
    public let errorBound: Tensor
    /// Whether the tolerance was kept, but for what storing the answer loses, `bool`, shape `[B]`.
    public let isWithin: Tensor
    /// One for each query.
    public let ways: [Way]
  }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor {
    let answer = certified(x, at: t)
    certificate?.add(answer, scale)
    return answer.mean
  }

  /// What the answers of a whole run are worth: of a sampler, which asks again and again.
  public final class Certificate: Sendable {
    private let state = Mutex<(answers: Int, kept: Int, largest: Double, ways: [Way: Int])>((0, 0, 0, [:]))

    public init() {}

    /// How many points were answered.
    public var answers: Int { state.withLock { $0.answers } }
    /// How many of them kept the tolerance.
    public var answersWithin: Int { state.withLock { $0.kept } }
    /// The largest bound, relative to ``CertifiedDenoiser/scale``.
    public var largestBound: Double { state.withLock { $0.largest } }
    /// How often each way was taken.
    public var ways: [Way: Int] { state.withLock { $0.ways } }

    fileprivate func add(_ answer: Answer, _ scale: Double) {
      let kept = answer.isWithin.flags.count { $0 }
      let largest = answer.errorBound.max().item / scale
      state.withLock {
        $0.answers += answer.ways.count
        $0.kept += kept
        $0.largest = Swift.max($0.largest, largest)
        for way in answer.ways { $0.ways[way, default: 0] += 1 }
      }
    }
  }

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
      return answer(flat.mean, flat.bound, Array(repeating: .flat, count: x.batch), like: x)
    }
    // Data that leave their plane by more than that are not summed in it; others have no need of their nearest points.
    let isPlane = plane.largestResidual <= limit
    var means = queries
    var bounds = Tensor.full([x.batch], .infinity, on: x.device)
    if isPlane {
      (means, bounds) = reduced(queries, t)
    } else {
      let close = near(Array(0..<x.batch), queries, ratio, within: limit)
      (means, bounds) = (
        means.putting(close.mean, at: close.positions), bounds.putting(close.bound, at: close.positions)
      )
    }
    let rest = (bounds .> limit).flags.enumerated().filter(\.element).map(\.offset)
    var ways = [Way](repeating: isPlane ? .reduced : .near, count: x.batch)
    if !rest.isEmpty {
      for query in rest { ways[query] = .dense }
      let asked = Tensor(rest)
      let dense = whole.posterior(x.selecting(asked), at: t)
      means = means.putting(dense.mean.flattened, at: rest)
      bounds = bounds.putting(denseBound(of: dense, at: queries.selecting(asked), ratio), at: rest)
    }
    return answer(means, bounds, ways, like: x)
  }

  /// What is lost when a mean is stored in the type of the data comes on top of the bound.
  private func answer(_ means: Tensor, _ bounds: Tensor, _ ways: [Way], like x: Tensor) -> Answer {
    let lost = x.elementType.roundoff * (means.norm(-1) + plane.radius)
    return Answer(
      mean: means.to(x.elementType).reshaped(x.shape), errorBound: bounds + lost,
      isWithin: bounds .<= tolerance * scale, ways: ways)
  }

  /// The sum over the coordinates.
  private func reduced(_ queries: Tensor, _ t: Double) -> (mean: Tensor, bound: Tensor) {
    let kernel = schedule.kernel(at: t)
    let precision = 1 / (2 * kernel.noiseToSignal * kernel.noiseToSignal)
    let (inside, outside) = plane.split(queries)
    let zero = Tensor.zeros([queries.batch, 1], on: queries.device)
    let posterior = inner.posterior(.concatenated([kernel.alpha * inside, zero], -1), at: t)
    let mean = posterior.mean.narrowed(1, from: 0, count: rank)
    let meanResidual = (posterior.mean.narrowed(1, from: rank, count: 1).squeezed(-1) * residualUnit).clamped(0).sqrt()
    let residual = plane.largestResidual
    let pull = (outside + residual / 2) * (2 * precision)
    // What products of coordinates and the coordinate of the residuals may change of a logit, and what may be missing of
    // the spread.
    let reach = inside.norm(-1) + plane.radius
    let hidden = Self.hidden * plane.radius
    let rounding = precision * (0x1p-50 * reach * (reach + origin) + hidden * hidden)
    let spread = (posterior.covarianceTrace.clamped(0) + 0x1p-50 * plane.radius * plane.radius).sqrt()
    let growth = (2 * (pull * residual + rounding)).clamped(nil, 50).exp()
    return (
      plane.centre + mean.matmul(plane.axes), growth * (pull * meanResidual + rounding) * spread + residual
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
    return (plane.centre + mean.matmul(plane.axes), bound)
  }

  /// What roundings can do to a dense sum.
  private func denseBound(of posterior: PosteriorMoments, at x: Tensor, _ ratio: Double) -> Tensor {
    let roundoff = rows.elementType.roundoff
    let (mean, radius) = (posterior.mean.flattened.to(.float64), plane.radius)
    let reach = (x - plane.centre).norm(-1)
    // A product of so many terms, and what is left of a logit of d/2 by differences.
    let terms = Double(rows.shape[1])
    let logits = roundoff * ((terms.squareRoot() + 4) * (radius / (ratio * ratio)) * reach + terms)
    // The trace is a difference itself.
    let spread = (posterior.covarianceTrace.to(.float64).clamped(0) + 8 * roundoff * radius * radius).sqrt()
    let sums = Self.blockRounding * roundoff * ((mean - plane.centre).norm(-1) + spread)
    return (2 * logits).clamped(nil, 50).expm1() * spread + sums
  }

  /// Roundings of the sum over a block of points.
  private static let blockRounding = 32.0

  /// The queries whose nearest points are enough, their means and the bounds.
  ///
  /// A few are tried first: where none of them is near its points, the others are hardly.
  private func near(
    _ open: [Int], _ queries: Tensor, _ ratio: Double, within limit: Double
  ) -> (positions: [Int], mean: Tensor, bound: Tensor) {
    func tried(_ asked: [Int]) -> (positions: [Int], mean: Tensor, bound: Tensor) {
      let points = queries.selecting(Tensor(asked))
      let found = screen.nearest(nearest, to: points, plane)
      // Mostly one point is enough.
      var (mean, bound) = sum(points, found, 1, ratio)
      let more = (bound .> limit).flags.enumerated().filter(\.element).map(\.offset)
      if !more.isEmpty, nearest > 1 {
        let others = sum(points.selecting(Tensor(more)), found.selecting(Tensor(more)), nearest, ratio)
        (mean, bound) = (mean.putting(others.mean, at: more), bound.putting(others.bound, at: more))
      }
      let isClose = (bound .<= limit).flags
      let kept = Tensor(asked.indices.filter { isClose[$0] })
      return (zip(asked, isClose).filter(\.1).map(\.0), mean.selecting(kept), bound.selecting(kept))
    }
    let stride = Swift.max(1, open.count / Self.probes)
    let first = open.enumerated().filter { $0.offset % stride == 0 }.map(\.element)
    let found = tried(first)
    let others = open.enumerated().filter { $0.offset % stride != 0 }.map(\.element)
    guard !found.positions.isEmpty, !others.isEmpty else { return found }
    let more = tried(others)
    return (
      found.positions + more.positions, .concatenated([found.mean, more.mean]),
      .concatenated([found.bound, more.bound])
    )
  }

  private static let probes = 4

  /// The nearest points, exactly, and what all others may weigh.
  private func sum(_ queries: Tensor, _ found: Screen.Found, _ count: Int, _ ratio: Double) -> (
    mean: Tensor, bound: Tensor
  ) {
    let precision = 1 / (2 * ratio * ratio)
    // A few queries at a time: their points are copied.
    let step = Swift.max(1, (1 << 20) / (count * queries.shape[1]))
    var (means, bounds): ([Tensor], [Tensor]) = ([], [])
    for first in stride(from: 0, to: queries.batch, by: step) {
      let range = first..<Swift.min(first + step, queries.batch)
      let places = found.positions[range].narrowed(1, from: 0, count: count).reshaped([-1])
      let shape = [range.count, count, queries.shape[1]]
      let points = rows.selecting(places).reshaped(shape).to(.float64)
      let differences = points - queries[range].expanded(at: 1)
      let prior = logWeights?.selecting(places).reshaped([range.count, count])
      let logits = differences.squared().sum(-1) * -precision + (prior ?? .full([1, 1], -.log(Double(rows.batch))))
      let weights = logits.softmax(-1)
      let mean = queries[range] + weights.expanded(at: 1).matmul(differences).squeezed(1)
      // All that is left out together, beside what is there.
      let rest = (found.below[range][Axis.all, count] * -precision - logits.logSumExp(-1)).exp()
      let reach = (mean - plane.centre).norm(-1) + plane.radius
      // Differences of numbers far from 0, squared.
      let rounding = 0x1p-50 * (-logits).max(-1) + 0x1p-51 * precision * origin * (differences.norm(-1).max(-1))
      means.append(mean)
      bounds.append((rest / (1 + rest) + rounding) * reach)
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
///
/// The bound is a squared distance itself, with `|e|` as one more coordinate: one product a tile. Of a tile only the groups
/// with the least bounds are looked into.
private struct Screen {
  /// `(z, |e|)`, `[N, r + 1]`, in the type of the data, and their squared norms, `[N]`.
  private let coordinates, squares: Tensor

  private static let group = 64

  init(_ plane: Subspace, type: ElementType) {
    coordinates = .concatenated([plane.coordinates.to(type), plane.residuals.to(type).expanded(at: 1)], -1)
    squares = (plane.coordinates.norm(-1).squared() + plane.residuals.squared()).to(type)
  }

  /// The nearest by the bound.
  struct Found {
    /// `[B, K]`.
    let positions: Tensor
    /// The squared bound of each and of the next one, `[B, K + 1]`, infinite where there is none.
    let below: Tensor

    func selecting(_ queries: Tensor) -> Found {
      Found(positions: positions.selecting(queries), below: below.selecting(queries))
    }
  }

  func nearest(_ wanted: Int, to queries: Tensor, _ plane: Subspace) -> Found {
    let (inside, outside) = plane.split(queries)
    let asked = Tensor.concatenated([inside, outside.expanded(at: 1)], -1)
    let pulls = (-2 * asked).to(coordinates.elementType)
    let count = coordinates.batch
    let step = Swift.max(1024, Swift.min(1 << 15, (1 << 21) / Swift.max(queries.batch, 1) / Self.group * Self.group))
    var (positions, bounds): ([Tensor], [Tensor]) = ([], [])
    for first in stride(from: 0, to: count, by: step) {
      let range = first..<Swift.min(first + step, count)
      let found = Self.least(of: pulls.matmul(coordinates[range].transposed) + squares[range], wanted + 1)
      positions.append(found.positions + Double(first))
      bounds.append(found.values)
    }
    let best = Tensor.concatenated(bounds, -1).top(Swift.min(wanted + 1, count), largest: false)
    // Roundings of a product of so many terms, each way.
    let reach = asked.norm(-1, keeping: true) + plane.radius
    let rounding = Double(asked.shape[1] + 2) * 2 * coordinates.elementType.roundoff * reach.squared()
    let below = (best.values.to(.float64) + asked.squared().sum(-1, keeping: true) - rounding).clamped(0)
    return Found(
      positions: Tensor.concatenated(positions, -1).gathered(best.positions, -1),
      below: count > wanted
        ? below : .concatenated([below, .full([queries.batch, 1], .infinity, on: queries.device)], -1))
  }

  /// The least of every row, and where they are.
  private static func least(of values: Tensor, _ wanted: Int) -> (values: Tensor, positions: Tensor) {
    let (batch, count) = (values.shape[0], values.shape[1])
    let groups = count / group
    guard groups > wanted else {
      let found = values.top(Swift.min(wanted, count), largest: false)
      return (found.values, found.positions)
    }
    // As many groups as numbers are wanted hold them all; what fills no group is looked at too.
    let grouped = values.narrowed(1, from: 0, count: groups * group).reshaped([batch, groups, group])
    let chosen = grouped.min(-1).top(wanted, largest: false).positions
    let places = (chosen.expanded(at: 2) * Double(group) + Tensor.arange(0..<group, on: values.device))
      .reshaped([batch, -1])
    let rest = Tensor.arange((groups * group)..<count, on: values.device).expanded(at: 0)
      .broadcast(to: [batch, count - groups * group])
    let looked = Tensor.concatenated([places, rest], -1)
    let candidates = values.gathered(looked, -1)
    let found = candidates.top(wanted, largest: false)
    return (found.values, looked.gathered(found.positions, -1))
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
