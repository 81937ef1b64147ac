import ScorefieldFields
import ScorefieldFisher
import ScorefieldPaths
import ScorefieldTensorCore

/// Posterior sampling with the spread of the estimate: the likelihood of a linear measurement where `x₀` given `x` is taken to be
/// normal, with the moments that it has.
///
///     C = (σ²/α²)(I − σ² F),   x̂₀ + C Aᵀ r,   (A C Aᵀ + σ_y² I) r = y − A x̂₀
///
/// It is the update of a Kalman filter, exact where the data are normal. Diffusion posterior sampling leaves `A C Aᵀ` out, and pulls
/// too strongly. `F` is asked for products only, and no gradient is taken.
///
/// The system is solved to the least residual on the Krylov space of its right-hand side. A spread is symmetric and never negative, so no
/// singular value of the system is below `σ_y²`; the products of a network are neither exactly, and values they have below it are taken as
/// `σ_y²`, so that `|r| ≤ |y − A x̂₀|/σ_y²` whatever the products are. How far a system was solved is told by ``update(_:at:)``.
///
/// - Cost: One evaluation of the denoiser, and one product of the Fisher per iteration; at most as many iterations as there are numbers
///   seen, and a vector of the samples' and of the measurement's size each. They end where every residual is small enough, or none has
///   become smaller over eight.
///
/// Source: Boys et al. 2023, arXiv:2310.06721, eq. 14; the covariance by the Fisher is Tweedie's second formula. The least
/// residual: Saad & Schultz 1986, doi:10.1137/0907058.
public struct MomentMatchedGuidance<F: FisherAccess>: Denoiser where F.Operator: FisherMatvec {
  public let base: any Denoiser
  public let fisher: F
  public let measurement: any LinearMeasurement
  /// `y`, `[B, …]` or `[1, …]` for all.
  public let observed: Tensor
  /// `σ_y`.
  public let deviation: Double
  /// The most iterations, and the residual they end at, relative to that at the start.
  public let iterations: Int
  public let tolerance: Double
  public var schedule: any NoiseSchedule { base.schedule }

  /// A denoiser that has seen a measurement.
  ///
  /// - Parameters:
  ///   - base: The denoiser.
  ///   - measurement: `A`.
  ///   - observed: `y`, shape `[B, …]` or `[1, …]` for all.
  ///   - deviation: `σ_y`.
  ///   - fisher: The products `F v` of the denoiser.
  ///   - iterations: The most iterations.
  ///   - tolerance: The residual they end at, relative to that at the start.
  public init(
    _ base: any Denoiser, _ measurement: any LinearMeasurement, observed: Tensor, deviation: Double, fisher: F,
    iterations: Int = 30, tolerance: Double = 1e-6
  ) {
    guard deviation > 0, iterations > 0, tolerance > 0 else {
      fatalError(
        "MomentMatchedGuidance(deviation: \(deviation), iterations: \(iterations), tolerance: \(tolerance)): must be positive"
      )
    }
    (self.base, self.measurement, self.observed, self.deviation) = (base, measurement, observed, deviation)
    (self.fisher, self.iterations, self.tolerance) = (fisher, iterations, tolerance)
  }

  /// An estimate that has seen the measurement.
  public struct Update: Sendable {
    /// Shape `[B, …]`.
    public let estimate: Tensor
    /// What is left of the system of each sample, in parts of its right-hand side, shape `[B]`; NaN where a number was none.
    public let residual: Tensor
  }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor { update(x, at: t).estimate }

  /// The estimate after the measurement, and how far its system was solved.
  public func update(_ x: Tensor, at t: Double) -> Update {
    let kernel = schedule.kernel(at: t)
    let estimate = base.denoise(x, at: t)
    let products = fisher.fisher(at: x, time: t)
    let seen = measurement.apply(estimate)
    guard seen.shape.dropFirst() == observed.shape.dropFirst(), [1, x.batch].contains(observed.batch) else {
      fatalError(
        "MomentMatchedGuidance(observed: \(observed.shape)): a measurement of \(x.shape) has shape \(seen.shape)")
    }
    let ratio = kernel.noiseToSignal * kernel.noiseToSignal
    /// `C Aᵀ u`.
    func spread(_ u: Tensor) -> Tensor {
      let v = measurement.adjoint(u, like: x)
      return ratio * (v - (kernel.sigma * kernel.sigma) * products.matvec(v))
    }

    let error = (observed.to(seen.elementType) - seen).flattened
    var space = KrylovSpace(of: error, variance: deviation * deviation)
    let axes = [x.batch] + [Int](repeating: 1, count: x.rank - 1)
    var (moves, isKnown): ([Tensor], Tensor) = ([], error.isFinite().all(-1))
    while space.size < min(iterations, error.shape[1]), !space.isSolved(to: tolerance), space.stalled < 8 {
      let move = spread(space.next.reshaped(seen.shape))
      isKnown = (isKnown .& move.flattened.isFinite().all(-1))
      moves.append(move.replacing(with: 0, where: (.!isKnown).reshaped(axes)))
      space.grow(with: measurement.apply(moves[moves.count - 1]).flattened)
    }
    let update = zip(moves, space.solution).reduce(estimate) { sum, move in
      sum + move.1.to(x.elementType).reshaped(axes) * move.0
    }
    return Update(estimate: update, residual: space.relativeResidual.replacing(with: .nan, where: .!isKnown))
  }
}

/// The Krylov space of `M` and `e`, one per sample, and on it the solution of `(M + s I) r = e` with the least residual.
private struct KrylovSpace {
  /// An orthonormal basis, `[B, n]` each; the last has not been multiplied yet, and is zero where the space is exhausted.
  private var basis: [Tensor]
  /// `M` on the basis: column `j` is `[B, j + 2]`, in `float64`.
  private var columns: [Tensor] = []
  /// `|e|` and the least residual so far, `[B]`, in `float64`.
  private let length: Tensor
  private var least: Tensor
  /// The coordinates of the solution with that, `[B, size]`.
  private var best: Tensor
  private let variance: Double
  /// For how many steps no residual has become smaller.
  private(set) var stalled = 0

  init(of error: Tensor, variance: Double) {
    let error = error.replacing(with: 0, where: .!error.isFinite().all(-1, keeping: true))
    length = error.to(.float64).norm(-1)
    least = length
    basis = [Self.unit(error, error.norm(-1))]
    best = .zeros([error.batch, 0])
    self.variance = variance
  }

  var size: Int { columns.count }
  var next: Tensor { basis[basis.count - 1] }
  /// The coordinates along each vector of the basis, `[B]`.
  var solution: [Tensor] { (0..<size).map { best[Axis.all, $0] } }
  var relativeResidual: Tensor { least / length.clamped(1e-300) }
  func isSolved(to tolerance: Double) -> Bool { (least .<= tolerance * length).all() }

  /// One more dimension, from `M` of the last vector of the basis.
  mutating func grow(with image: Tensor) {
    let all = Tensor.stacked(basis, 1)
    var (rest, column) = (image, Tensor.zeros([image.batch, basis.count], type: image.elementType))
    // Twice, or roundings grow.
    for _ in 0..<2 {
      let shares = all.matmul(rest.expanded(at: -1)).squeezed(-1)
      rest -= shares.expanded(at: 1).matmul(all).squeezed(1)
      column += shares
    }
    let norm = rest.norm(-1)
    let rounding = image.elementType == .float64 ? 1e-13 : 1e-6
    let isLast = norm .<= rounding * image.norm(-1)
    basis.append(Self.unit(rest, norm.replacing(with: 0, where: isLast)))
    columns.append(
      .concatenated([column, norm.replacing(with: 0, where: isLast).expanded(at: -1)], 1).to(.float64))
    solve()
  }

  /// `x/|x|`, and zero where that is zero.
  private static func unit(_ x: Tensor, _ length: Tensor) -> Tensor {
    x / length.replacing(with: .infinity, where: length .<= 0).expanded(at: -1)
  }

  /// The solution on all of the space, taken where its residual is the least so far.
  private mutating func solve() {
    let (count, batch) = (size, length.batch)
    let whole = Tensor.stacked(
      columns.map { .concatenated([$0, .zeros([batch, count + 1 - $0.shape[1]])], 1) }, 2)
    let shifted = whole + variance * Tensor.identity(count + 1).narrowed(1, from: 0, count: count)
    // Of a spread that is symmetric and not negative no singular value is below `s`.
    let (u, values, v) = shifted.svd()
    let first = u.narrowed(1, from: 0, count: 1).squeezed(1) * length.expanded(at: -1)
    let found = v.swapped(1, 2).matmul((first / values.clamped(variance)).expanded(at: -1))
    let image = whole.matmul(found).squeezed(-1)
    let coordinates = found.squeezed(-1)
    let wanted = Tensor.concatenated([length.expanded(at: -1), .zeros([batch, count])], 1)
    let padded = Tensor.concatenated([coordinates, .zeros([batch, 1])], 1)
    let residual = (wanted - image - variance * padded).norm(-1)
    let isLess = residual .< least
    stalled = (residual .< 0.99 * least).any() ? 0 : stalled + 1
    least = least.replacing(with: residual, where: isLess)
    best = Tensor.concatenated([best, .zeros([batch, 1])], 1).replacing(
      with: coordinates, where: isLess.expanded(at: -1))
  }
}
