import Scorefield
import ScorefieldTestSupport
import Synchronization

/// An exact field, queries drawn from it and two directions, on one schedule at one noise level.
struct World: Sendable, CustomStringConvertible {
  let name: String
  /// `σ/α`.
  let ratio: Double
  let t: Double
  let denoiser: any ExactField
  /// The points, or the means of the mixture.
  let data, x, u, v: Tensor
  var kernel: PerturbationKernel { denoiser.schedule.kernel(at: t) }
  var description: String { "\(name), σ/α = \(ratio)" }
  var dimension: Int { x.shape[1] }

  /// Weighted points.
  init(
    _ schedule: NamedSchedule = .all[0], ratio: Double, points: Int = 12, dimension: Int = 4, queries: Int = 5
  ) {
    let data = SplitMix(seed: 11).symmetric([points, dimension]) + 0.3
    let weights = SplitMix(seed: 15).uniform([points]) + 0.1
    self.init(
      schedule, ratio, data, EmpiricalDenoiser(data: data, weights: weights, on: schedule.schedule), queries, "points")
  }

  /// A mixture of Gaussians.
  init(_ schedule: NamedSchedule, ratio: Double, mixture: GaussianMixture) {
    self.init(
      schedule, ratio, mixture.means, GaussianMixtureDenoiser(mixture, on: schedule.schedule), 5,
      "mixture of \(mixture.means.shape[0])")
  }

  private init(
    _ schedule: NamedSchedule, _ ratio: Double, _ data: Tensor, _ denoiser: any ExactField, _ queries: Int,
    _ kind: String
  ) {
    (name, self.ratio, self.data, self.denoiser) = ("\(kind) on \(schedule)", ratio, data, denoiser)
    t = schedule.schedule.time(atNoiseToSignal: ratio)
    let kernel = schedule.schedule.kernel(at: t)
    let shape = [queries, data.shape[1]]
    let chosen = Tensor((0..<queries).map { 5 * $0 % data.batch })
    x = kernel.alpha * data.selecting(chosen) + kernel.sigma * SplitMix(seed: 12).unit(shape)
    (u, v) = (SplitMix(seed: 13).unit(shape), SplitMix(seed: 14).unit(shape))
  }

  /// Points on every schedule at every noise level it reaches, from far below their spacing to far above their extent.
  static let points: [World] = everywhere { World($0, ratio: $1) }

  /// The same, and mixtures of Gaussians.
  static let all: [World] =
    points
    + [Fixture.mixture2D, Fixture.gauss3D].compactMap { try? $0() }.flatMap { mixture in
      everywhere { World($0, ratio: $1, mixture: mixture) }
    }

  private static func everywhere(_ make: (NamedSchedule, Double) -> World) -> [World] {
    NamedSchedule.all.flatMap { named in
      let (schedule, range) = (named.schedule, named.schedule.timeRange)
      let reached =
        schedule.kernel(at: range.lowerBound).noiseToSignal...schedule.kernel(at: range.upperBound).noiseToSignal
      return [0.05, 0.2, 0.5, 1, 3, 10].filter(reached.contains).map { make(named, $0) }
    }
  }
}

/// A Fisher under the name of its file, and how near it is to the exact one.
struct NamedFisher: Sendable, CustomStringConvertible {
  let name: String
  let at: @Sendable (World) -> any FisherMatvec
  var description: String { name }

  /// Exact up to rounding.
  static let exact: [NamedFisher] = [
    .init(name: "ExactFisher") { ExactFisher($0.denoiser).fisher(at: $0.x, time: $0.t) },
    .init(name: "VJPFisher") { VJPFisher($0.denoiser).fisher(at: $0.x, time: $0.t) },
    .init(name: "JVPFisher") { JVPFisher($0.denoiser).fisher(at: $0.x, time: $0.t) },
  ]

  /// Everything whose product is that of a symmetric matrix.
  static let symmetric: [NamedFisher] =
    exact + [
      .init(name: "GaussianFisher") {
        GaussianFisher(data: $0.data, on: $0.denoiser.schedule).fisher(at: $0.x, time: $0.t)
      },
      .init(name: "NullFisher") { NullFisher(on: $0.denoiser.schedule).fisher(at: $0.x, time: $0.t) },
      .init(name: "EndpointFisher.printed") { endpoint($0, .printed) },
      .init(name: "EndpointFisher.centred") { endpoint($0, .centred) },
      .init(name: "BlendedFisher") {
        BlendedFisher(data: $0.data, nearest: 2, on: $0.denoiser.schedule).fisher(at: $0.x, time: $0.t)
      },
    ]

  private static func endpoint(_ world: World, _ form: EndpointFisher.Form) -> EndpointFisher.At {
    EndpointFisher(
      world.denoiser, endpoint: world.data.selecting(Tensor((0..<world.x.batch).map { $0 % world.data.batch })),
      form: form
    )
    .fisher(at: world.x, time: world.t)
  }

  /// Everything that has a product.
  static let all: [NamedFisher] =
    symmetric + [
      .init(name: "FiniteDifferenceFisher.central") {
        FiniteDifferenceFisher($0.denoiser, scheme: .central).fisher(at: $0.x, time: $0.t)
      },
      .init(name: "FiniteDifferenceFisher.forward") {
        FiniteDifferenceFisher($0.denoiser).fisher(at: $0.x, time: $0.t)
      },
      .init(name: "FiniteDifferenceFisher.backward") {
        FiniteDifferenceFisher($0.denoiser, scheme: .backward).fisher(at: $0.x, time: $0.t)
      },
      .init(name: "FullTrace") { FullTrace(ExactFisher($0.denoiser)).fisher(at: $0.x, time: $0.t) },
      .init(name: "Hutchinson") {
        Hutchinson(VJPFisher($0.denoiser), probes: 2, seed: 1).fisher(at: $0.x, time: $0.t)
      },
      .init(name: "HutchPlusPlus") {
        HutchPlusPlus(JVPFisher($0.denoiser), probes: 3, seed: 1, on: $0.denoiser.schedule).fisher(at: $0.x, time: $0.t)
      },
    ]
}

/// A Fisher given as a matrix, at every point and time, that counts the products per point.
final class MatrixFisher: FisherAccess, FisherMatvec {
  let matrix: Tensor
  private let counter = Atomic(0)
  var products: Int { counter.load(ordering: .relaxed) }

  init(_ matrix: Tensor) { self.matrix = matrix }
  func fisher(at x: Tensor, time t: Double) -> MatrixFisher { self }
  func matvec(_ v: Tensor) -> Tensor { matvecs(v.expanded(at: 0)).squeezed(0) }
  func matvecs(_ block: Tensor) -> Tensor {
    counter.add(block.batch, ordering: .relaxed)
    return block.matmul(matrix.transposed)
  }
}

/// A denoiser that counts its evaluations, per point of a batch.
final class CountingDenoiser: Denoiser {
  let base: any Denoiser
  let batch: Int
  private let counter = Atomic(0)
  var schedule: any NoiseSchedule { base.schedule }

  init(_ base: any Denoiser, batch: Int) { (self.base, self.batch) = (base, batch) }

  func denoise(_ x: Tensor, at t: Double) -> Tensor {
    counter.add(x.batch / batch, ordering: .relaxed)
    return base.denoise(x, at: t)
  }

  /// The evaluations since the last time.
  func taken() -> Int { counter.exchange(0, ordering: .relaxed) }
}

/// `x̂₀ = A x`: no gradient field where `A` is not symmetric.
struct LinearDenoiser: Denoiser {
  let matrix: Tensor
  let schedule: any NoiseSchedule
  func denoise(_ x: Tensor, at t: Double) -> Tensor { x.matmul(matrix.transposed) }

  /// `F = (I − α A)/σ²`.
  func fisher(at t: Double) -> Tensor {
    let kernel = schedule.kernel(at: t)
    return (Tensor.identity(matrix.shape[0]) - kernel.alpha * matrix) / (kernel.sigma * kernel.sigma)
  }
}
