import ArgumentParser
import Scorefield
import ScorefieldImages

struct SampleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sample", abstract: "Draw samples from a model, and keep their path.",
    discussion: """
      Starts from noise (--count) or from given states (--start) and steps along a grid of times; from the data up to the noise \
      where --from is the smaller, for solvers without noise.
      """)

  @OptionGroup var common: CommonOptions
  @OptionGroup var choice: ModelOptions

  @Option(
    help: """
      euler, heun, rk4, dopri5:rtol=1e-5,atol=1e-5, ddim, deis-1 to -3, dpm-solver-1 to -3, dpm-solver-12 or \
      -23:rtol=0.05,atol=0.0078, dpm-solver++-1, -2s, -2m, -3s or -3m, dpm-solver-v3-1 to -3 (with --statistics), unipc-1 \
      to -3, pndm, ipndm, edm-heun, heun-lambda, exponential-heun, edict:p=0.93, bdia:gamma=1 or belm; those that remember \
      take :start=single-step. With noise: \
      ddim:eta=1, ddpm:variance=small, euler-maruyama:share=1, reverse-diffusion, predictor-corrector:snr=0.16,count=1, \
      annealed-langevin:size=0.1,count=10, edm-heun:churn=40, sde-dpm-solver++-1 or -2m.
      """)
  var solver: String?

  @Option(help: "The statistics of the model, for dpm-solver-v3 (.safetensors, from 'solver-statistics').")
  var statistics: String?

  @Option(help: "A diffusers scheduler_config.json, in place of --schedule, --solver, --grid, --from and --to.")
  var scheduler: String?

  @Option(help: "The share of fresh noise in each step, for a DDIMScheduler's file.")
  var eta: Double?

  @Option(help: "The shift of levels, for a scheduler's file with use_dynamic_shifting.")
  var mu: Double?

  @Option(help: "How many steps.")
  var steps = 50

  @Option(
    help: """
      uniform-time, uniform-half-log-snr (the default), karras:rho=7, or scheduler: the times of --scheduler's file, which \
      --solver then steps along.
      """)
  var grid: String?

  @Option(help: "The first time (default: the end; edm: 80).")
  var from: Double?

  @Option(help: "The last time (default: 1e-3; edm: 0.002).")
  var to: Double?

  @Option(
    help: """
      How far to go beyond the conditional model, for --class or --condition: 0 is the model without them, 1 with them \
      (classifier-free guidance).
      """)
  var guidance: Double?

  @Option(
    help: """
      fixed or dynamic:quantile=0.995, each with magnitude=1: keeps estimates of the data in [-magnitude, magnitude].
      """)
  var threshold: String?

  @Option(
    help: """
      The error an estimate of a data set may have, beside the data's extent: each is made the cheapest way that is bounded \
      by it, and the bounds are reported.
      """)
  var certified: Double?

  @Option(help: "How many steps are tried at once (ParaDiGMs).")
  var parallel: Int?

  @Option(help: "How far steps tried at once may move before they count, beside the noise level (default: 0.1).")
  var parallelTolerance: Double?

  @Flag(name: .customLong("no-final-denoise"), help: "Leave the noise of the last time in the samples.")
  var noFinalDenoise = false

  @Option(help: "How many samples to draw.")
  var count: Int?

  @Option(help: "The states at the first time, shape [B, …], in place of noise.")
  var start: String?

  @Option(help: "Where the samples go: .png, .npy or .safetensors.")
  var out: String

  @Option(help: "Where times, states and denoised go (.safetensors).")
  var trajectory: String?

  private struct Body: Encodable {
    let model, schedule, solver, grid, outcome, out: String
    let from, to: Double
    let steps, samples, dimension, nfe: Int
    let finalDenoise: Bool
    let trajectory: String?
    let rounds: Int?
    let certificate: CertificateReport?
  }

  /// The steps that are tried at once, where that is asked for.
  private func checkedWindow() throws(Failure) -> Int? {
    guard let parallel else {
      guard parallelTolerance == nil else {
        throw .option("--parallel-tolerance", "needs --parallel", repair: "say how many steps are tried at once")
      }
      return nil
    }
    guard parallel >= 1, parallel <= 100_000 else {
      throw .option("--parallel", "\(parallel) is no count of steps", repair: "give a number from 1 to 100000")
    }
    guard trajectory == nil else {
      throw .option(
        "--trajectory", "keeps no path of steps tried at once", repair: "leave out --parallel or --trajectory")
    }
    guard (parallelTolerance ?? 0) >= 0, (parallelTolerance ?? 0).isFinite else {
      throw .option(
        "--parallel-tolerance", "\(parallelTolerance ?? 0) is no tolerance", repair: "give 0 or a positive number")
    }
    return parallel
  }

  /// The scheduler of a file, which has no other options of how to sample beside it: but for its times alone.
  private func checkedScheduler() throws -> SchedulerConfiguration? {
    guard let scheduler else {
      let own = [("--eta", eta != nil, "write --solver ddim:eta=1"), ("--mu", mu != nil, "leave it out")]
      if let (option, _, repair) = own.first(where: \.1) {
        throw Failure.option(option, "belongs to the file of a --scheduler", repair: repair)
      }
      guard grid != "scheduler" else {
        throw Failure.option("--grid", "'scheduler' is the grid of a --scheduler", repair: "say which file")
      }
      return nil
    }
    guard !takesGridAlone || eta == nil else {
      throw Failure.option(
        "--eta", "is for the file's own solver, which --solver replaces",
        repair: "leave it out, or write --solver ddim:eta=\(eta ?? 1)")
    }
    let others =
      [("--schedule", choice.schedule != nil), ("--from", from != nil), ("--to", to != nil)]
      + (takesGridAlone
        ? []
        : [
          ("--solver", solver != nil), ("--statistics", statistics != nil),
          ("--grid", grid != nil && grid != "scheduler"), ("--parallel", parallel != nil),
          ("--parallel-tolerance", parallelTolerance != nil), ("--no-final-denoise", noFinalDenoise),
        ])
    if let (option, _) = others.first(where: \.1) {
      throw Failure.option(option, "has no place beside --scheduler", repair: "leave one of them out")
    }
    let configuration = try SchedulerConfiguration(contentsOf: scheduler)
    for key in configuration.unknownKeys {
      Terminal.say("scorefield: warning: \(scheduler): '\(key)' means nothing to \(configuration.className)")
    }
    if let eta, let largest = configuration.largestEta(steps: steps), !(0...largest).contains(eta) {
      throw Failure.option(
        "--eta",
        eta < 0 || !eta.isFinite ? "\(eta) is no share of noise" : "\(eta) is more noise than a step has room for",
        repair: largest.isFinite ? "give a number from 0 to \(roundedDown(largest))" : "give 0 or a positive number")
    }
    return configuration
  }

  /// The model without what is known of the samples, where guidance goes beyond it.
  private func checkedGuidance(on schedule: ScheduleInput?) throws -> ModelInput? {
    guard let guidance else { return nil }
    guard guidance.isFinite else {
      throw Failure.option("--guidance", "\(guidance) is no scale", repair: "give a number such as 2")
    }
    guard choice.label != nil || choice.condition != nil else {
      throw Failure.option(
        "--guidance", "has nothing to go by without --class or --condition", repair: "give one of them")
    }
    var plain = choice
    (plain.label, plain.labels, plain.condition) = (nil, nil, nil)
    return try ModelInput(plain, on: schedule)
  }

  /// The data set's field by the cheapest ways whose errors are bounded.
  private func certified(
    _ model: LoadedModel, within tolerance: Double, _ certificate: CertifiedDenoiser.Certificate
  ) throws(Failure) -> any Denoiser {
    guard let points = model.points else {
      throw .option(
        "--certified", "is for a data set in memory, and \(choice.model) is none", repair: "leave it out")
    }
    return CertifiedDenoiser(
      data: points.to(model.type), weights: model.data?.weights, on: model.denoiser.schedule, tolerance: tolerance,
      certificate: certificate)
  }

  /// Whether the file of a scheduler says the times, and nothing else.
  private var takesGridAlone: Bool { scheduler != nil && grid == "scheduler" && solver != nil }

  mutating func run() throws {
    let asked = try common.validated()
    let configuration = try checkedScheduler()
    let sampler = try configuration.map { (configuration) throws(ArrayFileError) in
      try configuration.sampler(steps: steps, eta: eta ?? 0, mu: mu)
    }
    let planned = takesGridAlone ? nil : sampler
    let source = try ModelInput(choice, on: configuration.map(ScheduleInput.init))
    let unconditional = try checkedGuidance(on: configuration.map(ScheduleInput.init))
    let threshold = try threshold.map { text throws(Failure) in try ThresholdInput(text) }
    let schedule = source.schedule
    guard certified.map({ $0 > 0 && $0.isFinite }) ?? true else {
      throw Failure.option("--certified", "\(certified ?? 0) is no error", repair: "give a number such as 1e-5")
    }
    guard statistics == nil || guidance == nil else {
      throw Failure.option(
        "--statistics", "are those of the model without --guidance", repair: "leave out one of the two")
    }
    guard steps > 0, steps <= 1_000_000 else {
      throw Failure.option("--steps", "\(steps) is no count of steps", repair: "give a number from 1 to 1000000")
    }
    let grid = scheduler == nil ? self.grid ?? "uniform-half-log-snr" : "scheduler"
    let spread = try scheduler == nil ? GridInput(grid) : GridInput(levels: sampler?.noiseToSignal ?? [])
    var solver = try SamplerInput(self.solver ?? "ddim", seed: common.seed, steps: steps)
    try solver.checkStatistics(given: statistics)
    let ends = planned == nil ? TimeEnds(of: schedule.schedule) : TimeEnds(allOf: schedule.schedule)
    var (from, to) = try ends.span(from: from, to: to, on: schedule, with: solver)
    let isEncoding = from < to
    guard statistics == nil || solver.needsStatistics else {
      throw Failure.option(
        "--statistics", "'\(self.solver ?? "ddim")' has no use for them",
        repair: "leave --statistics out, or use dpm-solver-v3-2")
    }
    guard (count == nil) != (start == nil) else {
      throw Failure.option(
        "--count", count == nil ? "is missing" : "and --start are both given",
        repair: "give either how many samples to draw or the states to start from")
    }
    guard !isEncoding || start != nil else {
      throw Failure.option(
        "--start", "is missing, and the way up to the noise starts from data", repair: "give the states at --from")
    }
    guard count.map({ $0 > 0 }) ?? true else {
      throw Failure.option("--count", "\(count ?? 0) is no count of samples", repair: "give a positive number")
    }
    if parallel != nil { try solver.checkParallel() }
    let window = try checkedWindow()
    let output = try SampleOutput(out)
    let path = try trajectory.map { path throws(Failure) in try ArrayOutput(path, option: "--trajectory") }
    guard trajectory != out else {
      throw Failure.option("--trajectory", "is the same file as --out", repair: "give them different names")
    }
    // A scheduler has its own way, which may be a single step.
    let times =
      planned == nil ? try spread.grid(steps, over: schedule.schedule, from: from, to: to) : TimeGrid([from, to])
    if planned == nil { try solver.checkNoise(along: times, on: schedule.schedule) }
    (from, to) = (times.first, times.last)
    let finalDenoise = !noFinalDenoise && !isEncoding && planned == nil
    let states = try start.map { try ArrayInput($0) }

    let levels = try common.levels(beside: source)
    try source.checkCondition(for: states?.array.shape[0] ?? count)

    try common.start()
    var model = try source.loaded(type: asked, levels: levels)
    let certificate = certified.map { _ in CertifiedDenoiser.Certificate() }
    if let certified, let certificate {
      model.denoiser = try self.certified(model, within: certified, certificate)
    }
    if let unconditional, let guidance {
      var other = try unconditional.loaded(type: model.type, levels: levels)
      if let certified, let certificate {
        other.denoiser = try self.certified(other, within: certified, certificate)
      }
      model.denoiser = Self.guided(model.denoiser, over: other.denoiser, guidance)
    }
    if let threshold { model.denoiser = threshold.keeping(model.denoiser) }
    let type = model.type
    if let states { try model.accepts(states) }
    try output.check(model.sampleShape)
    let dimension = model.sampleShape.reduce(1, *)
    guard (count ?? 1) <= 1_000_000_000 / max(dimension, 1) else {
      throw Failure.option(
        "--count", "\(count ?? 1) samples of \(dimension) numbers are too many at once", repair: "draw them in parts")
    }
    if let statistics {
      let found = try StatisticsFile(statistics).statistics(
        ofShape: model.sampleShape, along: times, on: schedule.schedule,
        model: try source.fingerprint(of: model, levels: levels))
      solver = solver.told(found)
    }
    var generator = Generator(seed: common.seed)
    let shape = [count ?? 1] + model.sampleShape
    let first =
      try states.map { model.arranged(try $0.values(type), of: $0).reshaped([-1] + model.sampleShape) }
      ?? (planned == nil
        ? startingNoise(shape, at: from, on: schedule.schedule, type: type, using: &generator)
        : .normal(shape, type: type, using: &generator))

    let clock = ContinuousClock()
    let begin = clock.now
    let progress = FlowProgress("sample", from: from, to: to, on: schedule.schedule)
    let watched = WatchedDenoiser(base: model.denoiser, progress: progress)
    let seed = common.seed
    let run =
      planned.map {
        // It multiplies what it starts from, which given states have been.
        $0.sample(
          watched, from: states == nil ? first : first / $0.startScale, noise: .ofSteps(seed),
          keepingPath: trajectory != nil)
      } ?? window.map {
        solver.run(
          watched, from: first, along: times, finalDenoise: finalDenoise, window: $0,
          settling: .relativeToNoise(parallelTolerance ?? 0.1))
      }
      ?? solver.run(
        watched, from: first, along: times, finalDenoise: finalDenoise, keepingPath: trajectory != nil)
    let seconds = (clock.now - begin).seconds
    progress.finish()
    try model.check()

    let batch = run.samples.batch
    var files = [try output.file(of: run.samples)]
    if let path, let kept = run.path {
      files.append(
        try path.file(of: [("times", Tensor(kept.times)), ("states", kept.states), ("denoised", kept.denoised)]))
    }
    try OutputFile.write(files)
    if common.json {
      let body = Body(
        model: choice.model, schedule: schedule.text, solver: self.solver ?? configuration?.className ?? "ddim",
        grid: grid, outcome: run.outcome.rawValue,
        out: out, from: from, to: to, steps: steps, samples: batch, dimension: run.samples.count / batch,
        nfe: run.evaluations, finalDenoise: finalDenoise, trajectory: trajectory,
        rounds: run.rounds, certificate: certificate.map(CertificateReport.init))
      let asked = run.evaluations * (unconditional == nil ? 1 : 2)
      try Terminal.answer(try Report(body: body, seconds: seconds, networkEvaluations: asked).json())
    } else {
      let rounds = run.rounds.map { " in \($0) rounds" } ?? ""
      try Terminal.answer("\(batch) samples in \(out), \(run.evaluations) evaluations\(rounds)")
      if let certificate { try Terminal.answer(CertificateReport(certificate).words) }
    }
    run.outcome.warn(of: "the samples in \(out)")
  }

  private static func guided(
    _ conditional: some Denoiser, over unconditional: some Denoiser, _ scale: Double
  ) -> any Denoiser { ClassifierFreeGuidance(conditional, over: unconditional, scale: scale) }
}
