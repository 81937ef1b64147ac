import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// DPM-Solver-v3 with statistics that are known.
@Suite struct DPMSolverV3Tests {
  /// The statistics of the mixture in a plane, by quadrature elsewhere.
  static func plane() throws -> ModelStatistics {
    let golden = try Golden("statistics")
    let nodes = try golden["half_log_snr"].doubles
    return ModelStatistics(l: try golden["l"], a: try golden["a"], b: try golden["b"], over: nodes[0]...nodes.last!)
  }

  static func end(
    _ order: Int, _ statistics: ModelStatistics, _ world: PlaneFlow, _ grid: TimeGrid
  ) -> Tensor {
    integrate(world.start, along: grid, with: DPMSolverV3(order, statistics), in: world.denoiser)
  }

  /// Root mean square over points of the distance.
  static func error(_ a: Tensor, _ b: Tensor) -> Double { (a - b).squared().sum(-1).mean().item.squareRoot() }

  // MARK: One step

  /// The flow of N(m, diag s²) in closed form: it keeps the distance from the mean in standard deviations.
  struct Gaussian {
    let mean = Tensor(rows: [[0.7, -1.2, 2]])
    let deviation = Tensor(rows: [[1.3, 0.2, 0.6]])

    func denoiser(on schedule: any NoiseSchedule) throws -> GaussianMixtureDenoiser {
      GaussianMixtureDenoiser(
        try GaussianMixture(means: mean, standardDeviations: deviation), on: schedule)
    }

    func carry(_ x: Tensor, from t: PerturbationKernel, to s: PerturbationKernel) -> Tensor {
      func spread(_ k: PerturbationKernel) -> Tensor {
        ((k.alpha * k.alpha) * deviation.squared() + k.sigma * k.sigma).sqrt()
      }
      return s.alpha * mean + (x - t.alpha * mean) * spread(s) / spread(t)
    }

    /// `ℓ = 1/(1 + s² e^{2λ})`, `a = 0`, `b = −ℓ̇ m`.
    func statistics(over range: ClosedRange<Double>, nodes: Int) -> ModelStatistics {
      let (variance, mean) = (deviation[0].squared(), mean[0])
      return ModelStatistics(over: range, nodes: nodes) { lambda in
        let l = 1 / (1 + exp(2 * lambda) * variance)
        return (l, .zeros([3]), 2 * l * (1 - l) * mean)
      }
    }
  }

  @Test(
    "Spec: C9.7b one step of any length is exact on Gaussian data, on every schedule",
    arguments: PlaneFlow.all, [1, 2, 3])
  func exactStep(_ world: PlaneFlow, _ order: Int) throws {
    let gaussian = Gaussian()
    let denoiser = try gaussian.denoiser(on: world.schedule)
    let (now, next) = (world.schedule.kernel(at: world.from), world.schedule.kernel(at: world.to))
    let x = now.sigma * Tensor(rows: [[0.3, -0.7, 1], [-1.1, 0.4, 0.2], [0.8, 1.2, -2]])
    let exact = gaussian.carry(x, from: now, to: next)
    let range = now.halfLogSNR...next.halfLogSNR
    let grid = TimeGrid([world.from, world.to])
    let ddim = distance(integrate(x, along: grid, with: .ddim, in: denoiser), exact)
    #expect((0.9...2.7).contains(ddim), "\(ddim)")
    for (nodes, tolerance) in [(500, 1e-6), (20_000, 2e-8)] {
      let solver = DPMSolverV3(order, gaussian.statistics(over: range, nodes: nodes))
      let error = distance(integrate(x, along: grid, with: solver, in: denoiser), exact)
      print("MEASURE exactStep", world, order, nodes, error, "ddim", ddim)
      #expect(error < tolerance, "\(nodes) nodes: \(error)")
    }
  }

  // MARK: Goldens

  @Test("Spec: C9.7b C9.7c ends of ten steps are those of the step's own differential equation", arguments: PlaneFlow.all, [1, 2, 3])
  func golden(_ world: PlaneFlow, _ order: Int) throws {
    let expected = try Golden("statistics")["\(world).\(order - 1)"]
    let found = Self.end(order, try Self.plane(), world, world.halfLogSNRGrid(10))
    print("MEASURE golden", world, order, distance(found, expected), "error", distance(found, world.end), Self.error(found, world.end), "ddim", distance(SolverLaws.end(.ddim, world, world.halfLogSNRGrid(10)), world.end))
    #expect(distance(found, expected) < 1e-9)
  }

  // MARK: Special cases

  @Test("Spec: C9.7d C9.6 constant statistics make DDIM, DPM-Solver++(2M) exact and DEIS-1 in λ of it", arguments: PlaneFlow.all)
  func special(_ world: PlaneFlow) {
    for grid in [world.halfLogSNRGrid(7), world.timeGrid(9)] {
      for frame in Frame.allCases {
        let statistics = ModelStatistics.frame(frame, over: -5...5)
        for degree in 0...2 {
          let expected = SolverLaws.end(
            ExponentialAdamsBashforth(frame, degree: degree, in: .halfLogSNR), world, grid)
          let found = Self.end(degree + 1, statistics, world, grid)
          print("MEASURE special", world, frame, degree, relativeError(found, expected))
          expectClose(found, expected, within: 5e-13)
        }
        expectClose(Self.end(1, statistics, world, grid), SolverLaws.end(.ddim, world, grid), within: 5e-13)
      }
    }
  }
}
