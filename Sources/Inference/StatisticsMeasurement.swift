import RealModule
import ScorefieldArrays
import ScorefieldFields
import ScorefieldFisher
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// Measures what DPM-Solver-v3 is told of a model, along the model's own trajectories.
///
///     ℓ = E diag(σ ∂ε̂/∂x) = σ² E diag F,   N = u − ℓ y,   u = y − x̂₀ = e^{−λ} ε̂
///     N' = w + (ℓ − 1) u − ℓ̇ y,   w = −dx̂₀/dλ = e^{−λ} dε̂/dλ along the flow
///     a = Cov(N, N')/Var N,   b = E N' − a E N,   per dimension and λ
///
/// `ℓ` makes the expected square of `∂N/∂x` least, `a` and `b` that of `N' − a N − b`. Trajectories are those of DPM-Solver++(2M).
/// `dx̂₀/dλ` is a central difference along the flow's tangent: time is a number to a denoiser, and forward derivatives do not
/// reach it. `ℓ̇` is that of ``ModelStatistics``. Where `N` does not vary beyond rounding, `a` is 0.
///
/// - Cost: For a batch 3 denoiser evaluations and the products of the diagonal at each node, and 1 for each further step. Memory does not
///   grow with the trajectories: nine sums per node and dimension.
///
/// Source: Zheng et al. 2023, arXiv:2310.13268, section 3; Lai et al. 2025, *The Principles of Diffusion Models*, eq. 9.7.3 and 9.7.8.
public struct StatisticsMeasurement<F: FisherAccess>: Sendable where F.Operator: FisherMatvec {
  /// How the diagonal of the Fisher is had.
  public enum Diagonal: Sendable, Equatable {
    /// By a product with every basis vector.
    case exact
    /// Hutchinson's, `E[z ⊙ F z]`: by so many probes of −1 and 1 per trajectory, the same at all nodes.
    case probes(Int)
  }

  public let denoiser: any Denoiser
  public let fisher: F
  /// The times of the nodes, from the noise to the data, at equal distances in `λ`.
  public let times: [Double]
  /// Steps from one node to the next.
  public let stepsBetween: Int
  public let diagonal: Diagonal
  public let seed: UInt64
  /// How many trajectories there have been.
  public private(set) var trajectories = 0
  private let halfLogSNRs: [Double]
  private var moments: [NodeMoments] = []
  private var batches: UInt64 = 0
  private var sample: (shape: [Int], roundoff: Double)?

  /// A measurement without trajectories.
  ///
  /// - Parameters:
  ///   - denoiser: The model.
  ///   - fisher: Products with its Fisher; ``JVPFisher`` and ``VJPFisher`` differentiate it, ``FiniteDifferenceFisher`` does not.
  ///   - from: The first time.
  ///   - to: The last time.
  ///   - nodes: How many nodes there are, 2 or more.
  ///   - steps: How many steps a trajectory has at least.
  ///   - diagonal: How the diagonal of the Fisher is had.
  ///   - seed: The seed of the probes.
  public init(
    of denoiser: any Denoiser, fisher: F, from: Double, to: Double, nodes: Int = 120, steps: Int = 200,
    diagonal: Diagonal = .exact, seed: UInt64 = 0
  ) {
    let (first, last) = (denoiser.schedule.kernel(at: from).halfLogSNR, denoiser.schedule.kernel(at: to).halfLogSNR)
    guard nodes > 1, steps > 0, first < last, first.isFinite, last.isFinite else {
      fatalError(
        "StatisticsMeasurement(from: \(from), to: \(to), nodes: \(nodes), steps: \(steps)): needs two nodes, a step, and times "
          + "from the noise to the data with some of both")
    }
    if case .probes(let count) = diagonal, count < 1 {
      fatalError("StatisticsMeasurement(diagonal: .probes(\(count))): needs at least one")
    }
    (self.denoiser, self.fisher, self.diagonal, self.seed) = (denoiser, fisher, diagonal, seed)
    halfLogSNRs = ModelStatistics.nodes(nodes, over: first...last)
    let inner = halfLogSNRs.dropFirst().dropLast().map { denoiser.schedule.time(atHalfLogSNR: $0) }
    times = [from] + inner + [to]
    stepsBetween = (steps + nodes - 2) / (nodes - 1)
  }

  /// Adds trajectories.
  ///
  /// - Parameters:
  ///   - starts: States at the first time, shape `[B, …]`, such as ``startingNoise(_:at:on:type:device:using:)`` gives.
  ///   - progress: Is told how many nodes have been visited.
  public mutating func add(_ starts: Tensor, progress: (Int) -> Void = { _ in }) {
    let shape = Array(starts.shape.dropFirst())
    guard starts.batch > 0, sample.map({ $0.shape == shape }) ?? true else {
      fatalError("StatisticsMeasurement.add(\(starts.shape)): needs states of shape \(sample?.shape ?? shape)")
    }
    sample = (shape, starts.elementType.roundoff)
    let probes = draw(like: starts)
    let solver = ExponentialAdamsBashforth.dpmSolverPlusPlus2M
    var (state, memory) = (starts, solver.makeMemory())
    // The step from a node begins with what was asked there.
    let asked = RememberingDenoiser(denoiser, capacity: 1)
    for (node, time) in times.enumerated() {
      if node > 0 {
        let grid = TimeGrid.uniformHalfLogSNR(
          stepsBetween, over: denoiser.schedule, from: times[node - 1], to: time)
        state = integrate(state, along: grid, with: solver, in: asked, memory: &memory)
      }
      let found = self.moments(of: state, at: time, answering: asked, probes)
      if moments.count == times.count { moments[node].add(found) } else { moments.append(found) }
      progress(node + 1)
    }
    (trajectories, batches) = (trajectories + starts.batch, batches + 1)
  }

  /// The statistics of all trajectories so far.
  public var statistics: ModelStatistics {
    guard let sample else { fatalError("StatisticsMeasurement.statistics: there has been no trajectory") }
    func table(_ part: (NodeMoments) -> Tensor) -> Tensor { .stacked(moments.map(part)) }
    func mean(_ row: Int) -> Tensor { table { $0.means[row] } }
    func covariance(_ row: Int) -> Tensor { table { $0.products[row] / $0.count } }
    let spacing = (halfLogSNRs.last! - halfLogSNRs[0]) / Double(times.count - 1)
    let l = table { $0.diagonal / $0.count }
    let rate = ModelStatistics.differences(of: l) / spacing
    let (u, w, y) = (mean(0), mean(1), mean(2))
    let (uu, uw, uy, wy, yy) = (covariance(0), covariance(1), covariance(2), covariance(3), covariance(4))

    let variance = uu - 2 * l * uy + l * l * yy
    let joint = uw + (l - 1) * uu - rate * uy - l * (wy + (l - 1) * uy - rate * yy)
    // What the products lose to rounding, and what the states do.
    let states = 16 * sample.roundoff
    let rounding = 1e-13 * (uu + l * l * yy) + (states * states) * (yy + y * y)
    let a = (joint / variance).replacing(with: 0, where: variance .<= rounding)
    let b = w + (l - 1) * u - rate * y - a * (u - l * y)
    func shaped(_ table: Tensor) -> Tensor { table.reshaped([times.count] + sample.shape) }
    return ModelStatistics(l: shaped(l), a: shaped(a), b: shaped(b), over: halfLogSNRs[0]...halfLogSNRs.last!)
  }

  /// The probes of one batch, `[n, B, …]`.
  private func draw(like x: Tensor) -> Tensor? {
    guard case .probes(let count) = diagonal else { return nil }
    // Another stream for every batch.
    var generator = Generator(seed: seed &+ batches &* 0x9E37_79B9_7F4A_7C15, on: x.device)
    return ProbeDistribution.rademacher.draw(count, like: x, using: &generator)
  }

  private func moments(
    of x: Tensor, at time: Double, answering asked: any Denoiser, _ probes: Tensor?
  ) -> NodeMoments {
    let kernel = denoiser.schedule.kernel(at: time)
    let y = x / kernel.alpha
    let u = y - asked.denoise(x, at: time)
    let w = -dataRate(y, u, asked.denoise(x, at: time), kernel)
    let product = fisher.fisher(at: x, time: time)
    let diagonal = probes.map { ($0 * product.boundedMatvecs($0)).mean(0) } ?? product.diagonal(like: x)
    return NodeMoments([u, w, y].map { $0.to(.float64).flattened }, kernel.sigma * kernel.sigma * diagonal)
  }

  /// `dx̂₀/dλ` along the flow, whose tangent is `dy/dλ = −u`.
  private func dataRate(_ y: Tensor, _ u: Tensor, _ data: Tensor, _ kernel: PerturbationKernel) -> Tensor {
    let schedule = denoiser.schedule
    let width = Double.root(y.elementType.roundoff, 3)
    let ends = (schedule.timeRange.lowerBound, schedule.timeRange.upperBound)
    func reaches(_ change: Double) -> Bool {
      let lambda = kernel.halfLogSNR + change
      return schedule.kernel(at: ends.1).halfLogSNR <= lambda && lambda <= schedule.kernel(at: ends.0).halfLogSNR
    }
    // To one side at the ends of the schedule, of the second order too.
    let places = reaches(-width) ? (reaches(width) ? [-width, width] : [-width, -2 * width]) : [width, 2 * width]
    let values = places.map { change in
      let moved = schedule.kernel(at: schedule.time(atHalfLogSNR: kernel.halfLogSNR + change))
      return denoiser.denoise(moved.alpha * (y - change * u), at: moved.time)
    }
    let slopes = LagrangeBasis([0] + places).coefficients.map { $0[1] }
    return .combination(zip(slopes, [data] + values).map { ($0, $1) })
  }
}

/// Sums over trajectories at one node: of `u`, `w` and `y`, of their products about the mean, and of the diagonal.
private struct NodeMoments: Sendable {
  var count: Double
  /// `[3, d]`.
  var means: Tensor
  /// Of `uu`, `uw`, `uy`, `wy` and `yy`, about the means, `[5, d]`.
  var products: Tensor
  /// `[d]`.
  var diagonal: Tensor

  private static let pairs = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2)]

  init(_ values: [Tensor], _ diagonal: Tensor) {
    count = Double(values[0].batch)
    means = .stacked(values.map { $0.mean(0) })
    let centred = values.map { $0 - $0.mean(0) }
    products = .stacked(Self.pairs.map { (centred[$0] * centred[$1]).sum(0) })
    self.diagonal = diagonal.to(.float64).flattened.sum(0)
  }

  /// Joins other trajectories, without a difference of large sums.
  mutating func add(_ other: NodeMoments) {
    let total = count + other.count
    let shift = other.means - means
    let between = Tensor.stacked(Self.pairs.map { shift[$0] * shift[$1] })
    products = products + other.products + (count * other.count / total) * between
    means = means + (other.count / total) * shift
    diagonal = diagonal + other.diagonal
    count = total
  }
}
