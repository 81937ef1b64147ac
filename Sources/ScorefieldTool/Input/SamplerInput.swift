import RealModule
import Scorefield

/// The method `--solver` names for sampling.
struct SamplerInput {
  private enum Kind {
    case asksForDenoiser(any Solver<any Denoiser>)
    case asksForVelocity(any Solver<any VelocityField>)
    /// One that divides its steps as its tolerance demands.
    case adaptive(any Solver<any Denoiser>)
    /// One that is told the model's statistics first: its order and its start.
    case asksForStatistics(Int, MultistepStart)

    static func denoiser(_ solver: some Solver<any Denoiser>) -> Kind { .asksForDenoiser(solver) }
    static func velocity(_ solver: some Solver<any VelocityField>) -> Kind { .asksForVelocity(solver) }
  }
  private let name: String
  private var kind: Kind
  /// Whether its steps draw noise.
  private(set) var isNoisy = false
  /// Whether no parameter is said.
  private let isPlain: Bool
  /// The share of fresh noise, for DDIM.
  private var eta = 0.0
  /// `rtol`, of those that choose their steps, and `atol` beside it.
  private(set) var tolerance: Double?
  private var atol = 0.0

  /// The methods whose steps are those of the grid, by their names.
  static let fixedSteps = [
    "euler", "heun", "rk4", "ddim", "deis-1", "deis-2", "deis-3", "dpm-solver-1", "dpm-solver-2", "dpm-solver-3",
    "dpm-solver++-1", "dpm-solver++-2s", "dpm-solver++-2m", "dpm-solver++-3s", "dpm-solver++-3m", "unipc-1", "unipc-2",
    "unipc-3", "pndm", "ipndm", "edm-heun", "heun-lambda", "exponential-heun", "edict", "bdia", "belm",
  ]

  /// Those among them that need the model's statistics.
  static let informed = ["dpm-solver-v3-1", "dpm-solver-v3-2", "dpm-solver-v3-3"]

  /// Those that choose their steps themselves, by their names.
  static let adaptive = ["dopri5", "dpm-solver-12", "dpm-solver-23"]

  /// Whether it waits for the model's statistics.
  var needsStatistics: Bool { if case .asksForStatistics = kind { true } else { false } }

  /// Refuses a method without the statistics it needs.
  func checkStatistics(given file: String?) throws(Failure) {
    guard needsStatistics, file == nil else { return }
    throw .option(
      "--solver", "'\(name)' needs the statistics of the model",
      repair: "measure them with 'scorefield solver-statistics' and give the file with --statistics")
  }

  /// The method, told the model's statistics where it needs them.
  func told(_ statistics: ModelStatistics?) -> SamplerInput {
    guard case .asksForStatistics(let order, let start) = kind, let statistics else { return self }
    var copy = self
    copy.kind = .denoiser(DPMSolverV3(order, statistics, start: start))
    return copy
  }

  /// Whether its steps are those of the grid.
  var hasFixedSteps: Bool { if case .adaptive = kind { false } else { true } }

  /// The method at ever smaller tolerances, in the proportion of its standard ones; alone where its own are said.
  var sweep: [SamplerInput] {
    guard isPlain, let tolerance else { return [self] }
    return (0...27).compactMap { place in
      // Three to a decade, from 0.2 on.
      let rtol = 0.2 * Double.pow(10, -Double(place) / 3)
      return try? SamplerInput("\(name):rtol=\(rtol),atol=\(rtol * atol / tolerance)")
    }
  }

  /// Reads a method.
  ///
  /// - Parameters:
  ///   - text: The name, and what follows a colon.
  ///   - seed: The seed of the noise that a method adds.
  ///   - steps: How many steps there are, among which EDM's churn is divided.
  /// - Throws: Where there is no such method, or it has no such parameter.
  init(_ text: String, seed: UInt64 = 0, steps: Int = 1) throws(Failure) {
    let value = try OptionValue(text, of: "--solver")
    name = value.name
    isPlain = text == name
    let noise = NoiseSource.ofSteps(seed)
    switch value.name {
    case "ddim":
      let eta = try value.numbers([("eta", 0)])[0]
      guard eta >= 0, eta.isFinite else {
        throw .option("--solver", "eta \(eta) is below 0", repair: "write ddim:eta=1")
      }
      kind = eta == 0 ? .denoiser(.ddim) : .denoiser(StochasticDDIM(eta: eta, noise: noise))
      (self.eta, isNoisy) = (eta, eta > 0)
      return
    case "ddpm":
      let variance = try value.choice("variance", of: ["small", "large"])
      kind = .denoiser(AncestralSampler(variance == "large" ? .large : .small, noise: noise))
      isNoisy = true
      return
    case "euler-maruyama":
      let share = try value.numbers([("share", 1)])[0]
      guard share >= 0, share.isFinite else {
        throw .option("--solver", "share \(share) is below 0", repair: "write euler-maruyama:share=1")
      }
      kind = .denoiser(EulerMaruyama(share: share, noise: noise))
      isNoisy = true
      return
    case "reverse-diffusion":
      kind = .denoiser(ReverseDiffusion(noise: noise))
      isNoisy = true
    case "predictor-corrector":
      let values = try value.numbers([("snr", 0.16), ("count", 1)])
      let langevin = Langevin(
        .signalToNoise(try Self.positive(values[0], "snr", of: value)),
        count: try Self.whole(values[1], "count", of: value))
      kind = .denoiser(PredictorCorrector(ReverseDiffusion(noise: noise), corrector: langevin, noise: noise))
      isNoisy = true
      return
    case "annealed-langevin":
      let values = try value.numbers([("size", 0.1), ("count", 10)])
      let langevin = Langevin(
        .relative(try Self.positive(values[0], "size", of: value)), count: try Self.whole(values[1], "count", of: value)
      )
      kind = .denoiser(AnnealedLangevin(langevin, noise: noise))
      isNoisy = true
      return
    case "edm-heun":
      let churn = try value.numbers([("churn", 0)])[0]
      guard churn >= 0, churn.isFinite else {
        throw .option("--solver", "churn \(churn) is below 0", repair: "write edm-heun:churn=40")
      }
      kind =
        churn == 0
        ? .denoiser(.edmHeun)
        : .denoiser(StochasticHeun(StochasticHeun.Churn(churn, over: max(1, steps)), noise: noise))
      isNoisy = churn > 0
      return
    case "sde-dpm-solver++-1", "sde-dpm-solver++-2m":
      kind = .denoiser(SDEDPMSolver(value.name.hasSuffix("1") ? .first : .second, noise: noise))
      isNoisy = true
    case "dopri5":
      let (rtol, atol) = try Self.tolerances(of: value, 1e-5, 1e-5)
      kind = .adaptive(FlowSolver(.dopri5(rtol: rtol, atol: atol)))
      (tolerance, self.atol) = (rtol, atol)
      return
    case "dpm-solver-12", "dpm-solver-23":
      let (rtol, atol) = try Self.tolerances(of: value, 0.05, 0.0078)
      let pair: EmbeddedExponentialRungeKutta = value.name == "dpm-solver-12" ? .dpmSolver12 : .dpmSolver23
      kind = .adaptive(Adaptive(pair, .dpmSolver(rtol: rtol, atol: atol), in: .halfLogSNR))
      (tolerance, self.atol) = (rtol, atol)
      return
    case "edict":
      let mixing = try value.numbers([("p", 0.93)])[0]
      kind = .denoiser(EDICT(mixing: try Self.share(mixing, "p", of: value)))
      return
    case "bdia":
      let weight = try value.numbers([("gamma", 1)])[0]
      kind = .denoiser(BDIA(weight: try Self.share(weight, "gamma", of: value)))
      return
    case "deis-1":
      kind = .denoiser(.deis(1, start: try Self.start(of: value)))
      return
    case "deis-2":
      kind = .denoiser(.deis(2, start: try Self.start(of: value)))
      return
    case "deis-3":
      kind = .denoiser(.deis(3, start: try Self.start(of: value)))
      return
    case "dpm-solver++-2m":
      kind = .denoiser(ExponentialAdamsBashforth.dpmSolverPlusPlus2M.starting(by: try Self.start(of: value)))
      return
    case "dpm-solver++-3m":
      kind = .denoiser(
        ExponentialAdamsBashforth.dpmSolverPlusPlus3M.starting(by: try Self.start(of: value, standard: .singleStep)))
      return
    case "unipc-1":
      kind = .denoiser(UniPC(1, start: try Self.start(of: value)))
      return
    case "unipc-2":
      kind = .denoiser(UniPC(2, start: try Self.start(of: value)))
      return
    case "unipc-3":
      kind = .denoiser(UniPC(3, start: try Self.start(of: value)))
      return
    case "dpm-solver-v3-1", "dpm-solver-v3-2", "dpm-solver-v3-3":
      kind = .asksForStatistics(Int(value.name.suffix(1))!, try Self.start(of: value))
      return
    case "euler": kind = .velocity(.euler)
    case "heun": kind = .velocity(.heun)
    case "rk4": kind = .velocity(.rk4)
    case "dpm-solver-1": kind = .denoiser(.dpmSolver1)
    case "dpm-solver-2": kind = .denoiser(.dpmSolver2)
    case "dpm-solver-3": kind = .denoiser(.dpmSolver3)
    case "dpm-solver++-1": kind = .denoiser(.dpmSolverPlusPlus1)
    case "dpm-solver++-2s": kind = .denoiser(.dpmSolverPlusPlus2S)
    case "dpm-solver++-3s": kind = .denoiser(.dpmSolverPlusPlus3S)
    case "pndm": kind = .denoiser(.pndm)
    case "ipndm": kind = .denoiser(.ipndm)
    case "heun-lambda": kind = .denoiser(.heunInHalfLogSNR)
    case "exponential-heun": kind = .denoiser(.exponentialHeun)
    case "belm": kind = .denoiser(.belm)
    default:
      throw .option(
        "--solver", "'\(value.name)' is no sampler",
        repair: "use euler, heun, rk4, dopri5, ddim, deis-1 to -3, dpm-solver-1 to -3, dpm-solver-12, dpm-solver-23, "
          + "dpm-solver++-1, -2s, -2m, -3s or -3m, dpm-solver-v3-1 to -3, unipc-1 to -3, pndm, ipndm, edm-heun, heun-lambda, "
          + "exponential-heun, edict, bdia, belm, ddpm, euler-maruyama, reverse-diffusion, predictor-corrector, annealed-langevin, "
          + "sde-dpm-solver++-1 or -2m")
    }
    try value.alone()
  }

  /// What a method that remembers starts with.
  private static func start(
    of value: OptionValue, standard: MultistepStart = .lowerOrder
  ) throws(Failure) -> MultistepStart {
    try value.choice("start", of: ["lower-order", "single-step"]).map {
      $0 == "single-step" ? .singleStep : .lowerOrder
    }
      ?? standard
  }

  private static func tolerances(
    of value: OptionValue, _ relative: Double, _ absolute: Double
  ) throws(Failure) -> (Double, Double) {
    let tolerances = try value.numbers([("rtol", relative), ("atol", absolute)])
    return (
      try LikelihoodSolver.tolerance(tolerances[0], "rtol"), try LikelihoodSolver.tolerance(tolerances[1], "atol")
    )
  }

  private static func whole(_ number: Double, _ key: String, of value: OptionValue) throws(Failure) -> Int {
    guard let count = Int(exactly: number), (0...10_000).contains(count) else {
      throw .option("--solver", "\(key) \(number) is no count up to 10000", repair: "write \(value.name):\(key)=1")
    }
    return count
  }

  private static func positive(_ number: Double, _ key: String, of value: OptionValue) throws(Failure) -> Double {
    guard number > 0, number.isFinite else {
      throw .option("--solver", "\(key) \(number) is not positive", repair: "write \(value.name):\(key)=0.1")
    }
    return number
  }

  private static func share(_ number: Double, _ key: String, of value: OptionValue) throws(Failure) -> Double {
    guard number > 0, number <= 1 else {
      throw .option("--solver", "\(key) \(number) is not in (0, 1]", repair: "write \(value.name):\(key)=1")
    }
    return number
  }

  func run(
    _ model: any Denoiser, from start: Tensor, along grid: TimeGrid, finalDenoise: Bool, keepingPath: Bool
  ) -> SampleRun {
    switch kind {
    case .asksForDenoiser(let solver), .adaptive(let solver):
      sample(model, from: start, along: grid, with: solver, finalDenoise: finalDenoise, keepingPath: keepingPath)
    case .asksForVelocity(let solver):
      sample(model, from: start, along: grid, with: solver, finalDenoise: finalDenoise, keepingPath: keepingPath)
    case .asksForStatistics: fatalError("run(\(name)): has not been told the model's statistics")
    }
  }

  /// The same, many steps at once.
  func run(
    _ model: any Denoiser, from start: Tensor, along grid: TimeGrid, finalDenoise: Bool, window: Int,
    settling tolerance: PicardTolerance
  ) -> SampleRun {
    switch kind {
    case .asksForDenoiser(let solver), .adaptive(let solver):
      sample(
        model, from: start, along: grid, with: solver, finalDenoise: finalDenoise, window: window, settling: tolerance)
    case .asksForVelocity(let solver):
      sample(
        model, from: start, along: grid, with: solver, finalDenoise: finalDenoise, window: window, settling: tolerance)
    case .asksForStatistics: fatalError("run(\(name)): has not been told the model's statistics")
    }
  }

  /// Refuses a share of fresh noise for which some step of a grid has no room.
  func checkNoise(along grid: TimeGrid, on schedule: any NoiseSchedule) throws(Failure) {
    guard eta > 0, case let largest = StochasticDDIM.largestEta(along: grid, on: schedule), eta > largest else {
      return
    }
    throw .option(
      "--solver", "eta \(eta) is more noise than a step of this grid has room for",
      repair: "write ddim:eta=\(roundedDown(largest)) at most, or take fewer steps")
  }

  /// Refuses to run from the data up to the noise what draws noise on its way down.
  func checkEncoding() throws(Failure) {
    guard isNoisy else { return }
    throw .option(
      "--solver", "'\(name)' draws noise, and has no way from the data up to the noise",
      repair: "use one without noise such as ddim, or run from the noise down to the data")
  }

  /// Refuses to run in parallel what decides on its steps one after another.
  func checkParallel() throws(Failure) {
    guard case .adaptive = kind else { return }
    throw .option("--parallel", "'\(name)' chooses its steps one after another", repair: "use a solver of fixed steps")
  }
}

extension NoiseSource {
  /// The noise of a sampler's steps: another stream than the one that the start is drawn from.
  static func ofSteps(_ seed: UInt64) -> NoiseSource { .seed(seed &+ 0x5C0F) }
}
