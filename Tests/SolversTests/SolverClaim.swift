import Scorefield

/// What a method of the house says of itself.
struct SolverClaim: Sendable, CustomStringConvertible {
  /// Its name on the command line, or a plain one.
  let description: String
  let order: Int
  /// Denoiser evaluations per step once it has started.
  let evaluations: Int
  let source: String
  /// The first of the step counts, each twice the last; more where it takes more to see the order.
  var firstSteps = 20
  /// Whether it asks for the velocity, which has no value where there is no noise.
  var asksForVelocity = false
  /// Whether towards the noise it only undoes its own steps: what did not come from there grows with every step.
  var isForTheDataOnly = false
  let run: @Sendable (Tensor, TimeGrid, any Denoiser) -> Tensor
  /// The end from the flow's own states at the first times, as many as the method remembers.
  let runFrom: @Sendable ([Tensor], TimeGrid, any Denoiser) -> Tensor

  /// A method that asks for the denoiser.
  static func denoiser<S: Solver>(
    _ name: String, _ order: Int, _ evaluations: Int, _ solver: S, _ source: String = ""
  ) -> SolverClaim where S.Field == any Denoiser {
    .init(description: name, order: order, evaluations: evaluations, source: source) {
      integrate($0, along: $1, with: solver, in: $2)
    } runFrom: {
      end($0, $1, solver, $2)
    }
  }
  /// A method that asks for the velocity.
  static func velocity<S: Solver>(
    _ name: String, _ order: Int, _ evaluations: Int, _ solver: S, _ source: String = ""
  ) -> SolverClaim where S.Field == any VelocityField {
    .init(description: name, order: order, evaluations: evaluations, source: source, asksForVelocity: true) {
      integrate($0, along: $1, with: solver, in: ProbabilityFlow($2))
    } runFrom: {
      end($0, $1, solver, ProbabilityFlow($2))
    }
  }

  private static func end<S: Solver>(_ states: [Tensor], _ grid: TimeGrid, _ solver: S, _ field: S.Field) -> Tensor {
    var memory = solver.makeMemory()
    var state = states[0]
    for (index, t) in grid.times.dropLast().enumerated() {
      if index < states.count { state = states[index] }
      state = solver.step(state, from: t, to: grid.times[index + 1], in: field, memory: &memory)
    }
    return state
  }

  /// The same, with steps half as long.
  var finer: SolverClaim {
    var copy = self
    copy.firstSteps *= 2
    return copy
  }

  /// Statistics that are smooth, and no model's own: orders do not depend on them.
  static let statistics = StatisticsFormula.scalar.statistics(over: -8...8, nodes: 3201)

  var towardsTheDataOnly: SolverClaim {
    var copy = self
    copy.isForTheDataOnly = true
    return copy
  }

  static let ddim = denoiser("ddim", 1, 1, .ddim, "Song et al. 2021, arXiv:2010.02502")

  /// Embedded pairs, whose steps here are those of the grid.
  static let pairs: [SolverClaim] = {
    var dopri5 = velocity("dopri5", 5, 6, .dormandPrince, "Dormand & Prince 1980")
    // Rounding is near.
    dopri5.firstSteps = 15
    return [
      dopri5, .denoiser("dpm-solver-12", 2, 2, .dpmSolver12, "Lu et al. 2022, arXiv:2206.00927"),
      .denoiser("dpm-solver-23", 3, 3, .dpmSolver23, "Lu et al. 2022, arXiv:2206.00927"),
    ]
  }()

  /// Every deterministic method of fixed steps; laws and the guide's table run over this list.
  static let all: [SolverClaim] = [
    .velocity("euler", 1, 1, .euler, "Euler's method in time"),
    .ddim,
    .velocity("heun", 2, 2, .heun, "Heun's method in time"),
    .velocity("rk4", 4, 4, .rk4, "Kutta 1901"),
    .denoiser("deis-1", 2, 1, .deis(1), "Zhang & Chen 2023, arXiv:2204.13902"),
    .denoiser("deis-2", 2, 1, .deis(2), "Zhang & Chen 2023, arXiv:2204.13902"),
    .denoiser("deis-2:start=single-step", 3, 1, .deis(2, start: .singleStep), "Zhang & Chen 2023, arXiv:2204.13902"),
    .denoiser("deis-3", 2, 1, .deis(3), "Zhang & Chen 2023, arXiv:2204.13902").finer,
    .denoiser("deis-3:start=single-step", 4, 1, .deis(3, start: .singleStep), "Zhang & Chen 2023, arXiv:2204.13902"),
    .denoiser("dpm-solver-1", 1, 1, .dpmSolver1, "Lu et al. 2022, arXiv:2206.00927"),
    .denoiser("dpm-solver-2", 2, 2, .dpmSolver2, "Lu et al. 2022, arXiv:2206.00927"),
    .denoiser("dpm-solver-3", 3, 3, .dpmSolver3, "Lu et al. 2022, arXiv:2206.00927"),
    .denoiser("dpm-solver++-1", 1, 1, .dpmSolverPlusPlus1, "Lu et al. 2022, arXiv:2211.01095"),
    .denoiser("dpm-solver++-2s", 2, 2, .dpmSolverPlusPlus2S, "Lu et al. 2022, arXiv:2211.01095"),
    .denoiser("dpm-solver++-2m", 2, 1, .dpmSolverPlusPlus2M, "Lu et al. 2022, arXiv:2211.01095").finer,
    .denoiser(
      "dpm-solver++-3m", 3, 1, .dpmSolverPlusPlus3M, "Lu et al. 2022, arXiv:2211.01095"),
    .denoiser("dpm-solver++-3s", 3, 3, .dpmSolverPlusPlus3S, "Lu et al. 2022, arXiv:2211.01095"),
    .denoiser("unipc-1", 2, 1, .uniPC(1), "Zhao et al. 2023, arXiv:2302.04867"),
    .denoiser("unipc-2", 3, 1, .uniPC(2), "Zhao et al. 2023, arXiv:2302.04867"),
    .denoiser("unipc-3", 3, 1, .uniPC(3), "Zhao et al. 2023, arXiv:2302.04867"),
    .denoiser("unipc-3:start=single-step", 4, 1, UniPC(3, start: .singleStep), "Zhao et al. 2023, arXiv:2302.04867")
      .finer,
    .denoiser("pndm", 2, 1, .pndm, "Liu et al. 2022, arXiv:2202.09778").finer,
    .denoiser("ipndm", 2, 1, .ipndm, "Zhang & Chen 2023, arXiv:2204.13902").finer,
    .denoiser("edm-heun", 2, 2, .edmHeun, "Karras et al. 2022, arXiv:2206.00364"),
    .denoiser("edict", 1, 2, .edict, "Wallace et al. 2022, arXiv:2211.12446").finer.finer.finer
      .towardsTheDataOnly,
    .denoiser("bdia", 2, 1, .bdia, "Zhang et al. 2023, arXiv:2307.10829").finer,
    .denoiser("belm", 2, 1, .belm, "Wang et al. 2024, arXiv:2410.07273"),
    .denoiser("heun-lambda", 2, 2, .heunInHalfLogSNR, "Heun's method in half log-SNR"),
    .denoiser("exponential-heun", 2, 2, .exponentialHeun, "Hochbruck & Ostermann 2005"),
    .denoiser("dpm-solver-v3-1", 1, 1, DPMSolverV3(1, statistics), "Zheng et al. 2023, arXiv:2310.13268"),
    .denoiser("dpm-solver-v3-2", 2, 1, DPMSolverV3(2, statistics), "Zheng et al. 2023, arXiv:2310.13268"),
    .denoiser("dpm-solver-v3-3", 2, 1, DPMSolverV3(3, statistics), "Zheng et al. 2023, arXiv:2310.13268").finer,
    .denoiser(
      "dpm-solver-v3-3:start=single-step", 3, 1, DPMSolverV3(3, statistics, start: .singleStep),
      "Zheng et al. 2023, arXiv:2310.13268"),
  ]

  /// Variants beside them, which the same laws hold for.
  static let variants: [SolverClaim] =
    [
      .denoiser("deis-1 in λ", 2, 1, .deis(1, in: .halfLogSNR)),
      .denoiser("deis-2 in λ", 3, 1, .deis(2, in: .halfLogSNR, start: .singleStep)),
      .denoiser("deis-3 in κ", 4, 1, .deis(3, in: .noiseToSignal, start: .singleStep)),
      .denoiser(
        "data Adams–Bashforth of degree 3", 4, 1, ExponentialAdamsBashforth(.data, degree: 3, start: .singleStep)
      ).finer,
      .denoiser(
        "data Adams–Bashforth of degree 2 in time", 3, 1,
        ExponentialAdamsBashforth(.data, degree: 2, in: .time, start: .singleStep)),
      .denoiser("dpm-solver-2, γ = 1/4", 2, 2, .dpmSolver2(node: 0.25)),
      .denoiser("dpm-solver-2, γ = 1/2", 2, 2, .dpmSolver2(node: 0.5)),
      .denoiser("dpm-solver-2, γ = 1", 2, 2, .dpmSolver2(node: 1)),
      .denoiser("dpm-solver++-2m, exact", 2, 1, .dpmSolverPlusPlus2MExact).finer,
      .denoiser("dpm-solver++-2s, r = 1/4", 2, 2, .dpmSolverPlusPlus2S(node: 0.25)),
      .denoiser("unipc-3, single-step start", 4, 1, UniPC(3, start: .singleStep)).finer.finer,
      .denoiser("unipc-2, B₁", 3, 1, UniPC(2, slopeWeight: .h)),
      .denoiser("unipc-3 of the noise, B₁", 3, 1, UniPC(3, .noise, slopeWeight: .h)),
      .denoiser("exponential Heun of the data", 2, 2, ExponentialHeun(.data)),
      .denoiser("bdia, γ = 1/2", 1, 1, BDIA(weight: 0.5)).finer.towardsTheDataOnly,
    ] + pairs.dropFirst()
}
