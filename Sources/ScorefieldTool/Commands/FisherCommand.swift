import ArgumentParser
import Scorefield

struct FisherCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fisher", abstract: "Score and Fisher of a model at points.",
    discussion: """
      Writes score, posterior_mean, trace, log_density, trace_standard_error for estimators, and matvec with \
      --direction. Arrays are .npy, .csv or a folder of PNGs; integers are grey levels.
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
    let trace, logDensity: [Double]
    let traceStandardError: [Double]?
    let out: String?
  }

  mutating func run() throws {
    let type = try common.validated()
    let schedule = try ScheduleInput(choice.schedule)
    let time = try schedule.time(time, option: "--time")
    let method = try FisherMethodInput(method, option: "--method")
    let output = try out.map { path throws(Failure) in try ArrayOutput(path) }
    let source = try ModelInput(choice.model)
    let points = try ArrayInput(at)
    let direction = try self.direction.map { try ArrayInput($0) }
    if let direction, direction.array.shape != points.array.shape {
      throw Failure(
        .badData, direction.path, "has shape \(direction.array.shape), the points \(points.array.shape)",
        repair: "give one direction per point")
    }
    let reference = try data.map { try ArrayInput($0) }

    try common.start()
    let model = try source.loaded(on: schedule.schedule, type: type, levels: common.levels)
    try model.accepts(points)
    try reference.map(model.accepts)
    let given = try points.data(type, levels: common.levels)
    let x = given.reshaped([given.batch] + model.sampleShape)
    let v = try direction?.values(type).reshaped(x.shape)
    let covarianceData = try reference?.data(type, levels: common.levels).flattened ?? model.points?.flattened
    guard !method.needsData || covarianceData != nil else {
      throw Failure.option(
        "--method", "'\(method.name)' needs a data set and the model is none", repair: "give one with --data")
    }

    let clock = ContinuousClock()
    let start = clock.now
    let counter = EvaluationCounter()
    let denoiser = CountedDenoiser(model.field, counter: counter)
    let posterior: PosteriorMoments
    let trace: Estimate
    var product: Tensor?
    counter.increment()
    if method.isExact {
      // One stream over the data answers everything.
      posterior = model.field.posterior(x, at: time, along: v)
      trace = Estimate(samples: posterior.fisherTrace.expanded(at: 0))
      product = v.map(posterior.fisherProduct)
    } else {
      posterior = model.field.posterior(x, at: time)
      let fisher = method.access(
        field: model.field, denoiser: denoiser, data: covarianceData?.reshaped([-1] + model.sampleShape),
        seed: common.seed
      ).fisher(at: x, time: time)
      trace = Estimate(samples: fisher.traceSamples())
      product = v.map(fisher.matvec)
    }
    let (traces, densities) = (trace.value.doubles, posterior.logDensity.doubles)
    let errors = trace.standardError?.doubles
    let seconds = (clock.now - start).seconds

    var arrays = [
      ("score", posterior.score.reshaped(given.shape)), ("posterior_mean", posterior.mean.reshaped(given.shape)),
      ("trace", trace.value), ("log_density", posterior.logDensity),
    ]
    if let error = trace.standardError { arrays.append(("trace_standard_error", error)) }
    if let product { arrays.append(("matvec", product.reshaped(given.shape))) }
    try output?.write(arrays)

    if common.json {
      let body = Body(
        model: choice.model, schedule: schedule.text, method: method.name, time: time, alpha: posterior.kernel.alpha,
        sigma: posterior.kernel.sigma, samples: x.batch, dimension: x.count / x.batch, trace: traces,
        logDensity: densities, traceStandardError: errors, out: out)
      print(try Report(body: body, seconds: seconds, networkEvaluations: counter.count).json())
    } else {
      var table = Table(["point", "log density", "trace of F"] + (errors == nil ? [] : ["± one s.e."]))
      for index in traces.indices.prefix(20) {
        table.add(
          ["\(index)", fixed(densities[index], 4), significant(traces[index], 6)]
            + (errors.map { [significant($0[index], 2)] } ?? []))
      }
      print(table.text)
      if traces.count > 20 { print("… and \(traces.count - 20) more\(out == nil ? "; --out writes them all" : "")") }
    }
  }
}
