import ArgumentParser
import Scorefield

struct LikelihoodCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "likelihood", abstract: "How likely each sample is: log q and bits per dimension.",
    discussion: """
      Integrates the probability flow from --from up to --to. Writes log_likelihood, bits_per_dim, standard_error and \
      latent, and rows with --leave-one-out. Integer samples are grey levels and are dequantised.
      """)

  @OptionGroup var common: CommonOptions
  @OptionGroup var choice: ModelOptions
  @OptionGroup var queries: QueryOptions

  @Option(help: "The samples, shape [B, …].")
  var samples: String?

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
    let rows: [Int]?
    let out: String?
  }

  mutating func run() throws {
    let asked = try common.validated()
    try queries.validate(("--samples", samples), model: choice.model, out: out)
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
    let input = queries.leaveOneOut ? nil : try samples.map { try ArrayInput($0) }
    let isLevels = input?.isLevels ?? source.isLevels
    let reference = try data.map { try ArrayInput($0) }
    let dequantization = try Dequantization(dequantize ?? (isLevels ? "uniform" : "none"))
    guard isLevels || dequantization == .none else {
      let found = input.map { "\($0.path) holds \($0.array.elementType.rawValue)" } ?? "the data are none"
      throw Failure.option(
        "--dequantize", "'\(dequantize ?? "")' is for grey levels, and \(found)",
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
    let rows = queries.leaveOneOut ? try queries.positions(in: model.data) : nil
    guard rows == nil || method.isExact else {
      throw Failure.option("--trace", "'\(method.name)' does not leave out points", repair: "use exact")
    }
    try input.map(model.accepts)
    try reference.map(model.accepts)
    let x = try input.map { model.arranged(try $0.data(type, levels: levels), of: $0) }
    let raw = input.map { model.arranged(Tensor($0.array), of: $0) }
    let shape = x?.shape ?? [rows!.count] + model.sampleShape
    let count = shape[0]
    // What is proven of the data is proven in float64.
    let covarianceData = try reference.map { model.arranged(try $0.data(.float64, levels: levels), of: $0) }
    guard !method.needsData || covarianceData != nil || model.points != nil else {
      throw Failure.option(
        "--trace", "'\(method.name)' needs a data set \(model.isStreamed ? "in memory" : "and the model is none")",
        repair: "give one with --data")
    }
    let (spacing, warnings) = warnings(model, schedule.schedule.kernel(at: from))
    for warning in warnings { Terminal.say("scorefield: warning: \(warning)") }

    let clock = ContinuousClock()
    let start = clock.now
    let counter = EvaluationCounter()
    let proofs = ProofCounter()
    let priorName = self.prior ?? (model.field == nil ? "normal" : "exact")
    // Nothing random has no error; what is random and drawn once has one that is unknown.
    let isRandom = method.isRandom || dequantization != .none

    // All at once, unless what is done is to be kept.
    var journal: Journal?
    if let out, model.isStreamed || queries.resume {
      var job = source.job(of: model, seed: common.seed, levels: levels)
      job += [("command", "likelihood"), ("from", "\(from)"), ("to", "\(to)"), ("trace", method.name)]
      job += [("solver", self.solver), ("dequantize", "\(dequantization)"), ("prior", priorName)]
      job += [("rows", queries.description)] + Journal.entries([("samples", input), ("reference", reference)])
      journal = try Journal(of: out, job: job, resumes: queries.resume)
    }
    var parts = journal?.parts ?? []
    let partSize = model.isStreamed || queries.resume ? Self.partSize : count
    let before = min(count, parts.count * partSize)
    let passes = (count - before + partSize - 1) / partSize
    let progress = FlowProgress("likelihood", from: from, to: to, on: schedule.schedule, passes: max(passes, 1))
    for first in stride(from: before, to: count, by: partSize) {
      let range = first..<min(first + partSize, count)
      let own = rows.map { Array($0[range]) }
      var asked = model
      if let own {
        asked.field = model.data!.leavingOut(own)
        asked.denoiser = asked.field!
      }
      let traced = WatchedTrace(
        base: method.joint(asked)
          ?? WithTrace(
            asked.denoiser,
            CountedProofs(
              base: method.access(
                of: asked, counter: counter, data: covarianceData?.reshaped([-1] + model.sampleShape), seed: common.seed
              ),
              counter: proofs)),
        progress: progress, counter: counter, isSingle: !method.isRandom)
      let prior = priorName == "exact" ? Prior.exact(asked.field!) : .normal
      let found: Likelihood
      let partShape = [range.count] + model.sampleShape
      if isLevels {
        // Every part draws its own noise, the first as if it were all.
        var generator = Generator(seed: common.seed &+ UInt64(first / partSize) &* 0x9E37_79B9_7F4A_7C15)
        found = logLikelihood(
          of: try raw?[range].reshaped(partShape) ?? model.data!.raw(own!), in: GreyLevels(levels),
          dequantized: dequantization, using: &generator, under: traced, type: type, from: from, to: to, prior: prior,
          solver: solver)
      } else {
        found = logLikelihood(
          of: try x?[range].reshaped(partShape) ?? model.data!.rows(own!), under: traced, from: from, to: to,
          prior: prior, solver: solver)
      }
      var part = [
        "log_likelihood": found.logLikelihood, "bits_per_dim": found.bitsPerDim, "latent": found.latent,
        "evaluations": Tensor([found.evaluations]), "outcome": Tensor(found.outcome.rawValue.utf8.map(Int.init)),
      ]
      // Whatever the prior, the field's own marginal says what it gets wrong, where it is known.
      part["prior_error"] = asked.field.map {
        Prior.exact($0).logDensity(found.latent, at: to, on: schedule.schedule)
          - prior.logDensity(found.latent, at: to, on: schedule.schedule)
      }
      let isSettled = found.outcome == .converged
      part["standard_error"] = found.standardError ?? .full([range.count], isRandom || !isSettled ? .nan : 0)
      try model.check()
      try journal?.append(part)
      parts.append(part)
    }
    func joined(_ name: String) -> Tensor { .concatenated(parts.map { $0[name]! }) }
    let (likelihoods, bitsPerDim, error) = (joined("log_likelihood"), joined("bits_per_dim"), joined("standard_error"))
    let priorError = model.field == nil ? nil : joined("prior_error")
    let outcomes = parts.map { part in
      Outcome(rawValue: String(decoding: part["outcome"]!.integers.map(UInt8.init), as: UTF8.self))!
    }
    let outcome = outcomes.first { $0 != .converged } ?? .converged
    let evaluations = parts.reduce(0) { $0 + $1["evaluations"]!.integers[0] }
    let (densities, bits, errors) = (likelihoods.doubles, bitsPerDim.doubles, error.doubles)
    let priorErrors = priorError.map { error in
      error.doubles.enumerated().map { outcomes[$0 / partSize] == .converged ? $1 : .nan }
    }
    let seconds = (clock.now - start).seconds
    progress.finish()

    var arrays = [
      ("log_likelihood", likelihoods), ("bits_per_dim", bitsPerDim), ("latent", joined("latent").reshaped(shape)),
      ("standard_error", error),
    ]
    if let priorError { arrays.append(("prior_error", priorError)) }
    if let rows { arrays.append(("rows", Tensor(rows))) }
    if let output { try OutputFile.write([try output.file(of: arrays, single: "log_likelihood")]) }
    journal?.remove()

    func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
    func meanNumber(_ values: [Double]) -> Double? { numbers([mean(values)])[0] }
    if common.json {
      let body = Body(
        model: choice.model, schedule: schedule.text, trace: method.name, solver: self.solver,
        dequantize: dequantize ?? (isLevels ? "uniform:1" : "none"), prior: priorName,
        outcome: outcome.rawValue, from: from, to: to, samples: count, dimension: model.dimension,
        levels: isLevels ? levels : nil, logLikelihood: numbers(densities), bitsPerDim: numbers(bits),
        standardError: numbers(errors), priorError: priorErrors.map(numbers), meanLogLikelihood: meanNumber(densities),
        meanBitsPerDim: meanNumber(bits), meanStandardError: meanNumber(errors),
        meanPriorError: priorErrors.flatMap(meanNumber),
        nfe: evaluations,
        exactShare: proofs.share, spacing: spacing, warnings: warnings, rows: rows, out: out)
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
        "mean \(fixed(mean(densities), 4)) nats, \(fixed(mean(bits), 4)) bits/dim; \(evaluations) evaluations")
      if let share = proofs.share {
        try Terminal.answer("\(fixed(100 * share, 1)) % of the traces on the way are proven to be the data's")
      }
    }
    outcome.warn(of: "the likelihoods")
  }

  /// Samples that go through the flow together where a job is kept in parts.
  private static let partSize = 256

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
