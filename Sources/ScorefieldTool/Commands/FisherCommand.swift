import ArgumentParser
import Scorefield

struct FisherCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fisher", abstract: "Score and Fisher of a model at points.",
    discussion: """
      Writes score, posterior_mean, trace, log_density of exact fields, trace_standard_error of estimators, trace_bound of \
      retrieval and hybrid, matvec with --direction, and rows with --leave-one-out. Arrays are .npy, .csv or a folder of PNGs; \
      integers are grey levels. A data set may also be .safetensors or a folder of shards.
      """)

  @OptionGroup var common: CommonOptions
  @OptionGroup var choice: ModelOptions
  @OptionGroup var queries: QueryOptions

  @Option(help: "The time, in the schedule's own range.")
  var time: Double

  @Option(help: "The points, shape [B, …].")
  var at: String?

  @Option(help: "Directions v for F v, in the shape of the points.")
  var direction: String?

  @Option(help: "How the Fisher is had: \(FisherMethodInput.names.joined(separator: ", ")).")
  var method = "auto"

  @Option(help: "Data for methods that need some, where the model is none.")
  var data: String?

  @Option(help: "Where the arrays go (.safetensors).")
  var out: String?

  private struct Body: Encodable {
    let model, schedule, method: String
    let time, alpha, sigma: Double
    let samples, dimension: Int
    let trace: [Double?]
    let logDensity, traceStandardError, traceBound: [Double?]?
    let exactShare: Double?
    let rows: [Int]?
    let out: String?
  }

  mutating func run() throws {
    let asked = try common.validated()
    let given = try FisherMethodInput(self.method, option: "--method")
    let output = try out.map { path throws(Failure) in try ArrayOutput(path) }
    try queries.validate(("--at", at), model: choice.model, out: out)
    let source = try ModelInput(choice)
    let schedule = source.schedule
    let time = try schedule.time(time, option: "--time")
    let points = queries.leaveOneOut ? nil : try at.map { try ArrayInput($0) }
    let direction = try self.direction.map { try ArrayInput($0) }
    if let direction, let points, direction.array.shape != points.array.shape {
      throw Failure(
        .badData, direction.path, "has shape \(direction.array.shape), the points \(points.array.shape)",
        repair: "give one direction per point")
    }
    let reference = try data.map { try ArrayInput($0) }
    let levels = try common.levels(beside: source)
    try source.checkCondition(for: nil)

    try common.start()
    let model = try source.loaded(type: asked, levels: levels)
    let (type, method) = (model.type, try given.resolved(for: model, option: "--method"))
    let rows = queries.leaveOneOut ? try queries.positions(in: model.data) : nil
    guard rows == nil || method.isExact else {
      throw Failure.option("--method", "'\(method.name)' does not leave out points", repair: "use exact")
    }
    try points.map(model.accepts)
    try reference.map(model.accepts)
    let grid = try points.map { model.arranged(try $0.data(type, levels: levels), of: $0) }
    let shape = grid?.shape ?? [rows!.count] + model.sampleShape
    let count = shape[0]
    let x = grid?.reshaped([count] + model.sampleShape)
    let v = try direction.map { model.arranged(try $0.values(type), of: $0) }
    guard v == nil || v!.shape == shape else {
      throw Failure(
        .badData, self.direction ?? "", "has shape \(v!.shape), the points \(shape)",
        repair: "give one direction per point")
    }
    let directions = v?.reshaped([count] + model.sampleShape)
    // What is proven of the data is proven in float64.
    let covarianceData = try reference.map { model.arranged(try $0.data(.float64, levels: levels), of: $0) }
    guard !method.needsData || covarianceData != nil || model.points != nil else {
      throw Failure.option(
        "--method", "'\(method.name)' needs a data set \(model.isStreamed ? "in memory" : "and the model is none")",
        repair: "give one with --data")
    }

    let clock = ContinuousClock()
    let start = clock.now
    let counter = EvaluationCounter()
    let access = method.access(
      of: model, counter: counter, data: covarianceData?.reshaped([-1] + model.sampleShape), seed: common.seed)

    let picked = method.recommendation(for: model, asking: model.denoiser, data: covarianceData).map {
      "\(method.name):\($0.choice(at: time))"
    }

    // In parts, so that a long answer shows how far it is, and one that was ended goes on.
    var journal: Journal?
    if let out, model.isStreamed || queries.resume {
      var job = source.job(of: model, seed: common.seed, levels: levels)
      job += [("command", "fisher"), ("time", "\(time)"), ("method", method.name), ("rows", queries.description)]
      job += Journal.entries([("points", points), ("direction", direction), ("reference", reference)])
      journal = try Journal(of: out, job: job, resumes: queries.resume)
    }
    var parts = journal?.parts ?? []
    let before = min(count, parts.count * Self.partSize)
    let progress = Progress("fisher", total: count, before: before)
    for first in stride(from: before, to: count, by: Self.partSize) {
      let range = first..<min(first + Self.partSize, count)
      let some = try x?[range] ?? model.data!.rows(Array(rows![range]))
      let field = rows.map { model.data!.leavingOut(Array($0[range])) } ?? model.field
      // An exact field is asked past its denoiser.
      if field != nil { counter.increment() }
      let part = try part(some, directions?[range], model, field, counter, method, access) { share in
        progress.show(min(range.upperBound - 1, first + Int(share * Double(range.count))))
      }
      try model.check()
      try journal?.append(part)
      parts.append(part)
      progress.show(range.upperBound)
    }
    func joined(_ name: String) -> Tensor? {
      let pieces = parts.compactMap { $0[name] }
      return pieces.count == parts.count ? .concatenated(pieces) : nil
    }
    let trace = joined("trace")!
    let (density, error, bound) = (joined("log_density"), joined("trace_standard_error"), joined("trace_bound"))
    let exactShare = joined("is_exact")?.to(.float64).mean().item
    let (traces, densities, errors) = (trace.doubles, density?.doubles, error?.doubles)
    let kernel = schedule.schedule.kernel(at: time)
    let seconds = (clock.now - start).seconds

    var arrays = [
      ("score", joined("score")!.reshaped(shape)), ("posterior_mean", joined("posterior_mean")!.reshaped(shape)),
      ("trace", trace),
    ]
    if let density { arrays.append(("log_density", density)) }
    if let error { arrays.append(("trace_standard_error", error)) }
    if let bound { arrays.append(("trace_bound", bound)) }
    if let product = joined("matvec") { arrays.append(("matvec", product.reshaped(shape))) }
    if let rows { arrays.append(("rows", Tensor(rows))) }
    if let output { try OutputFile.write([try output.file(of: arrays)]) }
    journal?.remove()

    if common.json {
      let body = Body(
        model: choice.model, schedule: schedule.text, method: picked ?? method.name, time: time, alpha: kernel.alpha,
        sigma: kernel.sigma, samples: count, dimension: model.dimension, trace: numbers(traces),
        logDensity: densities.map(numbers), traceStandardError: errors.map(numbers),
        traceBound: bound.map { numbers($0.doubles) },
        exactShare: exactShare, rows: rows, out: out)
      try Terminal.answer(try Report(body: body, seconds: seconds, networkEvaluations: counter.count).json())
    } else {
      var table = Table(
        ["point"] + (densities == nil ? [] : ["log density"]) + ["trace of F"] + (errors == nil ? [] : ["± one s.e."]))
      for index in traces.indices.prefix(20) {
        table.add(
          ["\(index)"] + (densities.map { [fixed($0[index], 4)] } ?? []) + [significant(traces[index], 6)]
            + (errors.map { [significant($0[index], 2)] } ?? []))
      }
      try Terminal.answer(table.text)
      if let exactShare {
        try Terminal.answer("\(fixed(100 * exactShare, 1)) % of the traces are proven to be the data's")
      }
      if traces.count > 20 {
        try Terminal.answer("… and \(traces.count - 20) more\(out == nil ? "; --out writes them all" : "")")
      }
    }
  }

  /// Points that are answered at a time.
  private static let partSize = 256

  /// What is known of some of the points, by the names of the arrays.
  private func part(
    _ x: Tensor, _ v: Tensor?, _ model: LoadedModel, _ field: (any ExactField)?, _ counter: EvaluationCounter,
    _ method: FisherMethodInput, _ access: ErasedFisher, _ show: (Double) -> Void
  ) throws -> [String: Tensor] {
    var part: [String: Tensor] = [:]
    let (traces, proof): (Tensor, ErasedFisher.Proof?)
    if let field {
      // One stream over the data answers everything.
      let posterior = try posterior(of: field, x, method.isExact ? v : nil, show)
      let fisher = method.isExact ? nil : access.fisher(at: x, time: time)
      (part["posterior_mean"], part["score"]) = (posterior.mean, posterior.score)
      part["log_density"] = posterior.logDensity
      (traces, proof) = (fisher?.traceSamples() ?? posterior.fisherTrace.expanded(at: 0), fisher?.proof)
      part["matvec"] = v.map { fisher?.matvec($0) ?? posterior.fisherProduct(with: $0) }
    } else {
      let kernel = model.denoiser.schedule.kernel(at: time)
      let fisher = access.fisher(at: x, time: time)
      let mean: Tensor
      if let joint = method.joint(model) {
        counter.increment()
        (mean, traces) = joint.denoiseWithTraces(x, at: time)
      } else {
        mean = CountedDenoiser(model.denoiser, counter: counter).denoise(x, at: time)
        traces = fisher.traceSamples()
      }
      (part["posterior_mean"], part["score"]) = (mean, (kernel.alpha * mean - x) / (kernel.sigma * kernel.sigma))
      part["matvec"] = v.map(fisher.matvec)
      proof = fisher.proof
    }
    let trace = Estimate(samples: traces)
    part["trace"] = trace.value
    if method.isRandom {
      // An estimator's error is unknown where it has one sample.
      part["trace_standard_error"] = trace.standardError ?? .full([x.batch], .nan, type: model.type)
    }
    (part["trace_bound"], part["is_exact"]) = (proof?.bound, proof?.isExact)
    return part
  }

  private func posterior(
    of field: any ExactField, _ x: Tensor, _ v: Tensor?, _ show: (Double) -> Void
  ) throws(ArrayFileError) -> PosteriorMoments {
    guard let stored = field as? StoredField else { return field.posterior(x, at: time, along: v) }
    var stream = stored.stream(x, at: time, along: v)
    while let done = try stream.next() { show(Double(done) / Double(stream.count)) }
    return stream.posterior
  }
}
