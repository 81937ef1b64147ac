import Scorefield

/// The method `--solver` names for sampling.
struct SamplerInput {
  private enum Kind {
    case ddim
    case rungeKutta(RungeKutta)
    case dopri5(LikelihoodSolver)
  }
  private let kind: Kind

  init(_ text: String) throws(Failure) {
    let value = try OptionValue(text, of: "--solver")
    switch value.name {
    case "ddim": kind = .ddim
    case "euler": kind = .rungeKutta(.euler)
    case "heun": kind = .rungeKutta(.heun)
    case "rk4": kind = .rungeKutta(.rk4)
    case "dopri5":
      let tolerances = try value.numbers([("rtol", 1e-5), ("atol", 1e-5)])
      kind = .dopri5(
        .dopri5(
          rtol: try LikelihoodSolver.tolerance(tolerances[0], "rtol"),
          atol: try LikelihoodSolver.tolerance(tolerances[1], "atol")))
      return
    default:
      throw .option(
        "--solver", "'\(value.name)' is no sampler", repair: "use euler, heun, rk4, ddim or dopri5:rtol=1e-5,atol=1e-5")
    }
    try value.alone()
  }

  func run(
    _ model: any Denoiser, from start: Tensor, along grid: TimeGrid, finalDenoise: Bool, keepingPath: Bool
  ) -> SampleRun {
    switch kind {
    case .ddim:
      sample(model, from: start, along: grid, with: DDIM(), finalDenoise: finalDenoise, keepingPath: keepingPath)
    case .rungeKutta(let method):
      sample(model, from: start, along: grid, with: method, finalDenoise: finalDenoise, keepingPath: keepingPath)
    case .dopri5(let method):
      sample(
        model, from: start, along: grid, with: FlowSolver(method), finalDenoise: finalDenoise, keepingPath: keepingPath)
    }
  }
}
