import ArgumentParser
import Scorefield

struct FisherCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fisher", abstract: "Score and Fisher of a model at points.",
    discussion: """
      Writes score, posterior_mean, trace, log_density of exact fields, trace_standard_error of estimators, trace_bound of \
      retrieval and hybrid, and matvec with --direction. Arrays are .npy, .csv or a folder of PNGs; integers are grey levels.
      """)

  @OptionGroup var common: CommonOptions
  @OptionGroup var choice: ModelOptions

  @Option(help: "The time, in the schedule's own range.")
  var time: Double

  @Option(help: "The points, shape [B, …].")
  var at: String

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
    let out: String?
  }

  mutating func run() throws {
    let asked = try common.validated()
    let given = try FisherMethodInput(self.method, option: "--method")
    let output = try out.map { path throws(Failure) in try ArrayOutput(path) }
    let source = try ModelInput(choice)
    let schedule = source.schedule
    let time = try schedule.time(time, option: "--time")
    let points = try ArrayInput(at)
    let direction = try self.direction.map { try ArrayInput($0) }
    if let direction, direction.array.shape != points.array.shape {
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
    try model.accepts(points)
    try reference.map(model.accepts)
    let grid = model.arranged(try points.data(type, levels: levels), of: points)
    let x = grid.reshaped([grid.batch] + model.sampleShape)
    let v = try direction.map { model.arranged(try $0.values(type), of: $0).reshaped(x.shape) }
    // What is proven of the data is proven in float64.
    let covarianceData =
      try reference.map { model.arranged(try $0.data(.float64, levels: levels), of: $0) } ?? model.points
    guard !method.needsData || covarianceData != nil else {
      throw Failure.option(
        "--method", "'\(method.name)' needs a data set and the model is none", repair: "give one with --data")
    }

    let clock = ContinuousClock()
    let start = clock.now
    let counter = EvaluationCounter()
    let access = method.access(
      of: model, counter: counter, data: covarianceData?.reshaped([-1] + model.sampleShape), seed: common.seed)

    // In parts, so that a long answer shows how far it is.
    var parts: [Part] = []
    let progress = Progress("fisher", total: x.batch)
    for first in stride(from: 0, to: x.batch, by: Self.partSize) {
      let range = first..<min(first + Self.partSize, x.batch)
      // An exact field is asked past its denoiser.
      if model.field != nil { counter.increment() }
      parts.append(part(x[range], v?[range], model, counter, method, access))
      progress.show(range.upperBound)
    }
    func joined(_ piece: (Part) -> Tensor) -> Tensor { .concatenated(parts.map(piece)) }
    let trace = joined(\.trace.value)
    let density = model.field == nil ? nil : joined { $0.logDensity! }
    // An estimator's error is unknown where it has one sample.
    let error =
      method.isRandom
      ? joined { $0.trace.standardError ?? .full([$0.mean.batch], .nan, type: type) } : nil
    let hasProof = parts.allSatisfy { $0.proof != nil }
    let bound = hasProof ? joined { $0.proof!.bound } : nil
    let exactShare = hasProof ? joined { $0.proof!.isExact.to(.float64) }.mean().item : nil
    let (traces, densities, errors) = (trace.doubles, density?.doubles, error?.doubles)
    let kernel = schedule.schedule.kernel(at: time)
    let seconds = (clock.now - start).seconds

    var arrays = [
      ("score", joined(\.score).reshaped(grid.shape)), ("posterior_mean", joined(\.mean).reshaped(grid.shape)),
      ("trace", trace),
    ]
    if let density { arrays.append(("log_density", density)) }
    if let error { arrays.append(("trace_standard_error", error)) }
    if let bound { arrays.append(("trace_bound", bound)) }
    if v != nil { arrays.append(("matvec", joined { $0.product! }.reshaped(grid.shape))) }
    if let output { try OutputFile.write([try output.file(of: arrays)]) }

    if common.json {
      let body = Body(
        model: choice.model, schedule: schedule.text, method: method.name, time: time, alpha: kernel.alpha,
        sigma: kernel.sigma, samples: x.batch, dimension: x.count / x.batch, trace: numbers(traces),
        logDensity: densities.map(numbers), traceStandardError: errors.map(numbers),
        traceBound: bound.map { numbers($0.doubles) },
        exactShare: exactShare, out: out)
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

  /// What is known of some of the points.
  private struct Part {
    let mean, score: Tensor
    let logDensity: Tensor?
    let trace: Estimate
    let product: Tensor?
    let proof: ErasedFisher.Proof?
  }

  private func part(
    _ x: Tensor, _ v: Tensor?, _ model: LoadedModel, _ counter: EvaluationCounter, _ method: FisherMethodInput,
    _ access: ErasedFisher
  ) -> Part {
    if let field = model.field {
      // One stream over the data answers everything.
      let posterior = field.posterior(x, at: time, along: method.isExact ? v : nil)
      let fisher = method.isExact ? nil : access.fisher(at: x, time: time)
      return Part(
        mean: posterior.mean, score: posterior.score, logDensity: posterior.logDensity,
        trace: Estimate(samples: fisher?.traceSamples() ?? posterior.fisherTrace.expanded(at: 0)),
        product: v.map { fisher?.matvec($0) ?? posterior.fisherProduct(with: $0) }, proof: fisher?.proof)
    }
    let kernel = model.denoiser.schedule.kernel(at: time)
    let fisher = access.fisher(at: x, time: time)
    let (mean, traces): (Tensor, Tensor)
    if let joint = method.joint(model) {
      counter.increment()
      (mean, traces) = joint.denoiseWithTraces(x, at: time)
    } else {
      (mean, traces) = (
        CountedDenoiser(model.denoiser, counter: counter).denoise(x, at: time), fisher.traceSamples()
      )
    }
    return Part(
      mean: mean, score: (kernel.alpha * mean - x) / (kernel.sigma * kernel.sigma), logDensity: nil,
      trace: Estimate(samples: traces), product: v.map(fisher.matvec), proof: fisher.proof)
  }
}
