import ArgumentParser
import Scorefield

struct LikelihoodCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "likelihood", abstract: "How likely each sample is: log q and bits per dimension.",
    discussion: """
      Integrates the probability flow from --from up to --to. Writes log_likelihood, bits_per_dim, standard_error and \
      latent. Integer samples are grey levels and are dequantised.
      """)

  @OptionGroup var common: CommonOptions
  @OptionGroup var choice: ModelOptions

  @Option(help: "The samples, shape [B, …].")
  var samples: String

  @Option(help: "How the trace is had: \(FisherMethodInput.names.joined(separator: ", ")).")
  var trace = "auto"

  @Option(help: "dopri5:rtol=1e-5,atol=1e-5, rk4:n, heun:n or euler:n.")
  var solver = "dopri5"

  @Option(help: "none, uniform:k or truncated-normal:k draws (default: uniform:1 for grey levels, none otherwise).")
  var dequantize: String?

  @Option(help: "The time the samples are taken to be at (default: 1e-3; edm: 0.002).")
  var from: Double?

  @Option(help: "The time the prior takes over (default: the end; edm: 80).")
  var to: Double?

  @Option(help: "The distribution at --to: exact (the field's own; the default where there is one) or normal.")
  var prior: String?

  @Option(help: "Data for methods that need some, where the model is none.")
  var data: String?

  @Option(help: "Where the arrays go (.safetensors; .npy: log_likelihood alone).")
  var out: String?

  private struct Body: Encodable {
    let model, schedule, trace, solver, dequantize, prior, outcome: String
    let from, to: Double
    let samples, dimension: Int
    let levels: Int?
    let logLikelihood, bitsPerDim, standardError: [Double?]
    let priorError: [Double?]?
    let meanLogLikelihood, meanBitsPerDim, meanStandardError, meanPriorError: Double?
    let nfe: Int
    let exactShare, spacing: Double?
    let warnings: [String]
    let out: String?
  }

  mutating func run() throws {
    let asked = try common.validated()
    let source = try ModelInput(choice)
    let schedule = source.schedule
    let ends = TimeEnds(of: schedule.schedule)
    let from = try schedule.time(self.from ?? ends.data, option: "--from")
    let to = try schedule.time(self.to ?? ends.noise, option: "--to")
    guard from < to else {
      throw Failure.option("--from", "\(from) is not before --to \(to)", repair: "run from the data up to the noise")
    }
    let given = try FisherMethodInput(trace, option: "--trace")
    let solver = try LikelihoodSolver(self.solver)
    try TimeEnds.check(from, to, on: schedule.schedule, steps: solver.fixedSteps)
    guard prior.map({ ["exact", "normal"].contains($0) }) ?? true else {
      throw Failure.option("--prior", "'\(prior ?? "")' is no prior", repair: "use exact or normal")
    }
    let output = try out.map { path throws(Failure) in try ArrayOutput(path, single: "log_likelihood") }
    let input = try ArrayInput(samples)
    let reference = try data.map { try ArrayInput($0) }
    let dequantization = try Dequantization(dequantize ?? (input.isLevels ? "uniform" : "none"))
    guard input.isLevels || dequantization == .none else {
      throw Failure.option(
        "--dequantize",
        "'\(dequantize ?? "")' is for grey levels, and \(input.path) holds \(input.array.elementType.rawValue)",
        repair: "give integers, or use none")
    }

    let levels = try common.levels(beside: source)
    try source.checkCondition(for: nil)

    try common.start()
    let model = try source.loaded(type: asked, levels: levels)
    let (type, method) = (model.type, try given.resolved(for: model, option: "--trace"))
    guard prior != "exact" || model.field != nil else {
      throw Failure.option("--prior", "'exact' needs a model whose field is exact", repair: "use normal")
    }
    try model.accepts(input)
    try reference.map(model.accepts)
    let x = model.arranged(try input.data(type, levels: levels), of: input)
    let shape = [x.batch] + model.sampleShape
    // What is proven of the data is proven in float64.
    let covarianceData =
      try reference.map { model.arranged(try $0.data(.float64, levels: levels), of: $0) } ?? model.points
    guard !method.needsData || covarianceData != nil else {
      throw Failure.option(
        "--trace", "'\(method.name)' needs a data set and the model is none", repair: "give one with --data")
    }
    let (spacing, warnings) = warnings(model, schedule.schedule.kernel(at: from))
    for warning in warnings { Terminal.say("scorefield: warning: \(warning)") }

    let clock = ContinuousClock()
    let start = clock.now
    let counter = EvaluationCounter()
    let progress = FlowProgress("likelihood", from: from, to: to, on: schedule.schedule)
    let proofs = ProofCounter()
    let traced = WatchedTrace(
      base: method.joint(model)
        ?? WithTrace(
          model.denoiser,
          CountedProofs(
            base: method.access(
              of: model, counter: counter, data: covarianceData?.reshaped([-1] + model.sampleShape), seed: common.seed),
            counter: proofs)),
      progress: progress, counter: counter, isSingle: !method.isRandom)
    let priorName = self.prior ?? (model.field == nil ? "normal" : "exact")
    let prior = priorName == "exact" ? Prior.exact(model.field!) : .normal
    let found: Likelihood
    if input.isLevels {
      var generator = Generator(seed: common.seed)
      found = logLikelihood(
        of: model.arranged(Tensor(input.array), of: input).reshaped(shape), in: GreyLevels(levels),
        dequantized: dequantization,
        using: &generator, under: traced, type: type, from: from, to: to, prior: prior, solver: solver)
    } else {
      found = logLikelihood(
        of: x.reshaped(shape), under: traced, from: from, to: to, prior: prior, solver: solver)
    }
    let (densities, bits) = (found.logLikelihood.doubles, found.bitsPerDim.doubles)
    // Whatever the prior, the field's own marginal says what it gets wrong, where it is known.
    let priorError = model.field.map {
      Prior.exact($0).logDensity(found.latent, at: to, on: schedule.schedule)
        - prior.logDensity(found.latent, at: to, on: schedule.schedule)
    }
    let settled = found.outcome == .converged
    // Nothing random has no error; what is random and drawn once has one that is unknown.
    let isRandom = method.isRandom || dequantization != .none
    let error = found.standardError ?? .full([x.batch], isRandom || !settled ? .nan : 0)
    let (errors, priorErrors) = (error.doubles, priorError.map { settled ? $0.doubles : $0.doubles.map { _ in .nan } })
    let seconds = (clock.now - start).seconds
    progress.finish()

    let arrays =
      [
        ("log_likelihood", found.logLikelihood), ("bits_per_dim", found.bitsPerDim),
        ("latent", found.latent.reshaped(x.shape)),
        ("standard_error", error),
      ] + (priorError.map { [("prior_error", $0)] } ?? [])
    if let output { try OutputFile.write([try output.file(of: arrays, single: "log_likelihood")]) }

    func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
    func meanNumber(_ values: [Double]) -> Double? { numbers([mean(values)])[0] }
    if common.json {
      let body = Body(
        model: choice.model, schedule: schedule.text, trace: method.name, solver: self.solver,
        dequantize: dequantize ?? (input.isLevels ? "uniform:1" : "none"), prior: priorName,
        outcome: found.outcome.rawValue, from: from, to: to, samples: x.batch, dimension: x.count / x.batch,
        levels: input.isLevels ? levels : nil, logLikelihood: numbers(densities), bitsPerDim: numbers(bits),
        standardError: numbers(errors), priorError: priorErrors.map(numbers), meanLogLikelihood: meanNumber(densities),
        meanBitsPerDim: meanNumber(bits), meanStandardError: meanNumber(errors),
        meanPriorError: priorErrors.flatMap(meanNumber),
        nfe: found.evaluations,
        exactShare: proofs.share, spacing: spacing, warnings: warnings, out: out)
      try Terminal.answer(try Report(body: body, seconds: seconds, networkEvaluations: counter.count).json())
    } else {
      var table = Table(["sample", "log q", "bits/dim"] + (isRandom ? ["± one s.e. of log q"] : []))
      for index in densities.indices.prefix(20) {
        table.add(
          ["\(index)", fixed(densities[index], 4), fixed(bits[index], 4)]
            + (isRandom ? [significant(errors[index], 2)] : []))
      }
      try Terminal.answer(table.text)
      if densities.count > 20 {
        try Terminal.answer("… and \(densities.count - 20) more\(out == nil ? "; --out writes them all" : "")")
      }
      try Terminal.answer(
        "mean \(fixed(mean(densities), 4)) nats, \(fixed(mean(bits), 4)) bits/dim; \(found.evaluations) evaluations")
      if let share = proofs.share {
        try Terminal.answer("\(fixed(100 * share, 1)) % of the traces on the way are proven to be the data's")
      }
      if found.outcome != .converged {
        try Terminal.answer("the integration did not settle: \(found.outcome.rawValue)")
      }
    }
  }

  /// Below the spacing of its points a data set's field knows only the nearest one.
  private func warnings(_ model: LoadedModel, _ kernel: PerturbationKernel) -> (spacing: Double?, [String]) {
    guard let spacing = model.spacing else { return (nil, []) }
    guard kernel.noiseToSignal < spacing else { return (spacing, []) }
    return (
      spacing,
      [
        "--from: sigma/alpha there is \(significant(kernel.noiseToSignal, 3)), below the points' median spacing "
          + "\(significant(spacing, 3)); choose a later time, or read the answer as the distance to the nearest point"
      ]
    )
  }
}
