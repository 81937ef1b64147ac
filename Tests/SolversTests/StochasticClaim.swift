import Scorefield

/// What a method that draws noise says of itself.
struct StochasticClaim: Sendable, CustomStringConvertible {
  /// Its name on the command line.
  let description: String
  /// The power of the step with which mean and variance come near those of the data.
  let order: Int
  let evaluations: Int
  let source: String
  let run: @Sendable (Tensor, TimeGrid, any Denoiser, NoiseSource) -> Tensor

  private static func method<S: Solver>(
    _ name: String, _ order: Int, _ evaluations: Int, _ source: String,
    _ solver: @escaping @Sendable (_ noise: NoiseSource, _ steps: Int) -> S
  ) -> StochasticClaim where S.Field == any Denoiser {
    .init(description: name, order: order, evaluations: evaluations, source: source) { start, grid, field, noise in
      integrate(start, along: grid, with: solver(noise, grid.steps), in: field)
    }
  }

  /// Every method with an order; laws and the guide's table run over this list.
  static let all: [StochasticClaim] = [
    .method("ddpm", 1, 1, "Ho et al. 2020, arXiv:2006.11239") { noise, _ in AncestralSampler(noise: noise) },
    .method("ddpm:variance=large", 1, 1, "Ho et al. 2020, arXiv:2006.11239") { noise, _ in
      AncestralSampler(.large, noise: noise)
    },
    .method("ddim:eta=0.5", 1, 1, "Song et al. 2021, arXiv:2010.02502") { noise, _ in
      StochasticDDIM(eta: 0.5, noise: noise)
    },
    .method("ddim:eta=1", 1, 1, "Song et al. 2021, arXiv:2010.02502") { noise, _ in
      StochasticDDIM(eta: 1, noise: noise)
    },
    .method("euler-maruyama", 1, 1, "Song et al. 2021, arXiv:2011.13456") { noise, _ in EulerMaruyama(noise: noise) },
    .method("euler-maruyama:share=0.5", 1, 1, "Zhang & Chen 2023, arXiv:2204.13902") { noise, _ in
      EulerMaruyama(share: 0.5, noise: noise)
    },
    .method("reverse-diffusion", 1, 1, "Song et al. 2021, arXiv:2011.13456") { noise, _ in
      ReverseDiffusion(noise: noise)
    },
    .method("edm-heun:churn=5", 2, 2, "Karras et al. 2022, arXiv:2206.00364") { noise, steps in
      StochasticHeun(StochasticHeun.Churn(5, over: steps), noise: noise)
    },
    .method("sde-dpm-solver++-1", 1, 1, "Lu et al. 2022, arXiv:2211.01095") { noise, _ in
      SDEDPMSolver(.first, noise: noise)
    },
    .method("sde-dpm-solver++-2m", 2, 1, "Lu et al. 2022, arXiv:2211.01095") { noise, _ in
      SDEDPMSolver(.second, noise: noise)
    },
  ]

  /// Mean and variance at the end of a run on N(0.7, 1.69) from the exact ones at its start, less the exact ones.
  ///
  /// They are computed and not estimated: on a Gaussian every step is affine in the state and in its noise.
  func error(_ steps: Int, on schedule: any NoiseSchedule) throws -> Tensor {
    let model = GaussianMixtureDenoiser(
      try GaussianMixture(means: Tensor(rows: [[0.7]]), standardDeviations: Tensor([1.3])), on: schedule)
    let (from, to) = (schedule.time(atNoiseToSignal: 20), schedule.time(atNoiseToSignal: 0.05))
    let grid = TimeGrid.uniformHalfLogSNR(steps, over: schedule, from: from, to: to)
    let found = AffineRun(draws: steps) { run($0, grid, model, $1) }
    let (start, exact) = (StochasticTests.exact(schedule, from), StochasticTests.exact(schedule, to))
    return Tensor([found.mean(start.mean) - exact.mean, found.variance(start.variance) - exact.variance])
  }
}
