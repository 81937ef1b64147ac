import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// Products of the Fisher without a gradient, from what was measured to serve best at each noise level with what is at hand.
///
/// With data, and for the density they are draws of, which is what a network learns: the normal distribution with their covariance. On
/// digits it was the nearest to a network's own products of all that ask no network, and guided by it samples reached a lower loss than by
/// the VJP, but where only the last steps were guided, at σ/α about 0.35. Where the network is at hand too, forward differences of it take
/// over at `σ/α ≤ 0.07 s`, with `s²` the data's total variance: that was better still, and within 2 % of the VJP's loss there. Of clusters
/// that are narrow against their distance the normal distribution is no nearer than the baseline at noise between the two lengths. For
/// gradients that are followed, backward differences over a long way are better than all of these: ``FiniteDifferenceFisher/secant(_:over:upTo:)``.
/// With data and for themselves, the exact field of a data set, with `δ` the distance of a point to its nearest neighbour:
///
///     σ/α ≤ δ/6   the baseline I/σ²          ≤ 0.7 s   the nearest 512 points
///     σ/α ≤ δ/2   the nearest 128 points     above     the normal distribution
///
/// Without data: forward differences of the denoiser, which are nearer to its own derivative than all of these, at two evaluations.
///
/// - Cost: That of the access it picks. Once, with data, the covariance's factorisation and the distances from at most 1,000 points.
///
/// Source: The limits for the data themselves: measured on digits of 8 × 8 pixels (the guide page on guidance has the tables); their form
/// in `δ` and `s` carries them to other data.
public struct RecommendedFisher: FisherAccess {
  /// Whose Fisher is wanted from the data.
  public enum Target: Sendable {
    /// That of the density the data were drawn from, as networks learn it.
    case density
    /// That of the data set itself.
    case points
  }

  /// What answers; its description is the method's name on the command line.
  public enum Choice: Sendable, Hashable, CustomStringConvertible {
    case null
    case retrieval(Int)
    case gaussian
    case forwardDifference

    public var description: String {
      switch self {
      case .null: "null"
      case .retrieval(let count): "retrieval:\(count)"
      case .gaussian: "gaussian"
      case .forwardDifference: "finite-difference"
      }
    }
  }

  private enum Source: Sendable {
    case denoiser(any Denoiser)
    case data(Tensor, weights: Tensor?, GaussianFisher, Target, beside: (any Denoiser)?)
  }

  public let schedule: any NoiseSchedule
  /// `δ`, the median over the data; 0 where it was not asked for.
  public let spacing: Double
  /// `s`, the root of the data's total variance; 0 where there are none.
  public let spread: Double
  private let source: Source

  /// From data alone.
  ///
  /// - Parameters:
  ///   - data: The points, shape `[N, …]`.
  ///   - weights: Their relative weights, shape `[N]`, positive; equal where left out.
  ///   - target: Whose Fisher is wanted.
  ///   - schedule: How the data become noise.
  ///   - denoiser: A network that learned the density, asked where the normal distribution is too far from it.
  public init(
    data: Tensor, weights: Tensor? = nil, of target: Target = .density, on schedule: any NoiseSchedule,
    beside denoiser: (any Denoiser)? = nil
  ) {
    self.schedule = schedule
    let gaussian = GaussianFisher(data: data, weights: weights, on: schedule)
    source = .data(data, weights: weights, gaussian, target, beside: denoiser)
    let rows = data.flattened
    spread = gaussian.variance.squareRoot()
    guard target == .points else {
      spacing = 0
      return
    }
    // Evenly through the data, whatever their order.
    let count = min(rows.batch, 1000)
    let some = rows.selecting(Tensor((0..<count).map { $0 * rows.batch / count }))
    // A single point has no neighbour, and its Fisher is the baseline at any noise.
    spacing =
      rows.batch > 1
      ? some.distances(to: rows).top(2, largest: false).values[Axis.all, 1].quantile(0.5).item : .infinity
  }

  /// From a denoiser, where there are no data.
  public init(_ denoiser: any Denoiser) {
    (schedule, spacing, spread) = (denoiser.schedule, 0, 0)
    source = .denoiser(denoiser)
  }

  /// In units of the data's spread: below it a network is asked, where there is one.
  private static let nearLimit = 0.07

  /// What answers at a time.
  public func choice(at t: Double) -> Choice {
    switch source {
    case .denoiser: return .forwardDifference
    case .data(_, _, _, .density, let denoiser):
      let isNear = schedule.kernel(at: t).noiseToSignal <= Self.nearLimit * spread
      return isNear && denoiser != nil ? .forwardDifference : .gaussian
    case .data(let data, _, _, .points, _):
      switch schedule.kernel(at: t).noiseToSignal {
      case ...(spacing / 6): return .null
      case ...(spacing / 2): return .retrieval(min(128, data.batch))
      case ...(0.7 * spread): return .retrieval(min(512, data.batch))
      default: return .gaussian
      }
    }
  }

  public func fisher(at x: Tensor, time t: Double) -> At {
    let choice = choice(at: t)
    switch (choice, source) {
    case (.retrieval(let count), .data(let data, let weights, _, _, _)):
      let near = RetrievalFisher(data, weights: weights, nearest: count, on: schedule).fisher(at: x, time: t)
      return At(choice: choice, base: near, type: x.elementType, inner: x.elementType)
    case (.gaussian, .data(let data, _, let gaussian, _, _)):
      let type = data.elementType
      return At(
        choice: choice, base: gaussian.fisher(at: x.to(type), time: t), type: x.elementType, inner: type)
    case (.forwardDifference, .denoiser(let denoiser)),
      (.forwardDifference, .data(_, _, _, _, beside: .some(let denoiser))):
      let difference = FiniteDifferenceFisher(denoiser).fisher(at: x, time: t)
      return At(choice: choice, base: difference, type: x.elementType, inner: x.elementType)
    default:
      let null = NullFisher(on: schedule).fisher(at: x, time: t)
      return At(choice: choice, base: null, type: x.elementType, inner: x.elementType)
    }
  }

  /// The Fisher at a batch of points.
  public struct At: FisherMatvec {
    /// What answers.
    public let choice: Choice
    fileprivate let base: any FisherMatvec
    fileprivate let type, inner: ElementType

    public func matvec(_ v: Tensor) -> Tensor { base.matvec(v.to(inner)).to(type) }
    public func matvecs(_ block: Tensor) -> Tensor { base.matvecs(block.to(inner)).to(type) }
  }
}
