import ArgumentParser
import Scorefield

struct FisherCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fisher", abstract: "Score and Fisher of a model at points.",
    discussion: """
      Writes score, posterior_mean, trace, log_density and, with --direction, matvec. Arrays are .npy, .csv or a folder \
      of PNGs; integers are grey levels.
      """)

  @OptionGroup var common: CommonOptions

  @Option(help: "The model: a data set (.npy, .csv, a folder of PNGs), whose field is exact.")
  var model: String

  @Option(help: "The noise schedule: \(ScheduleInput.names.joined(separator: ", ")), with :key=value,….")
  var schedule: String

  @Option(help: "The time, in the schedule's own range.")
  var time: Double

  @Option(help: "The points, shape [B, …].")
  var at: String

  @Option(help: "Directions v for F v, in the shape of the points.")
  var direction: String?

  @Option(help: "How the Fisher is had: auto, exact.")
  var method = "auto"

  @Option(help: "Where the arrays go (.safetensors).")
  var out: String?

  private struct Body: Encodable {
    let model, schedule, method: String
    let time, alpha, sigma: Double
    let samples, dimension: Int
    let trace, logDensity: [Double]
    let out: String?
  }

  mutating func run() throws {
    let type = try common.validated()
    let schedule = try ScheduleInput(schedule)
    let time = try schedule.time(time, option: "--time")
    guard ["auto", "exact"].contains(method) else {
      throw Failure.option("--method", "'\(method)' is no method for this model", repair: "use auto or exact")
    }
    let output = try out.map { path throws(Failure) in try ArrayOutput(path) }
    let model = try ModelInput(model)
    let points = try ArrayInput(at).expecting(sample: model.sampleShape, of: "the model")
    let direction = try self.direction.map { try ArrayInput($0) }
    if let direction, direction.array.shape != points.array.shape {
      throw Failure(
        .badData, direction.path, "has shape \(direction.array.shape), the points \(points.array.shape)",
        repair: "give one direction per point")
    }

    try common.start()
    let x = try points.data(type, levels: common.levels)
    let v = try direction?.values(type)
    let field = try model.field(
      on: schedule.schedule, type: type, levels: common.levels, samples: Array(x.shape.dropFirst()))

    let clock = ContinuousClock()
    let start = clock.now
    let posterior = field.posterior(x, at: time, along: v)
    let trace = posterior.fisherTrace
    var arrays = [
      ("score", posterior.score), ("posterior_mean", posterior.mean), ("trace", trace),
      ("log_density", posterior.logDensity),
    ]
    if let v { arrays.append(("matvec", posterior.fisherProduct(with: v))) }
    let (traces, densities) = (trace.doubles, posterior.logDensity.doubles)
    let seconds = (clock.now - start).seconds

    try output?.write(arrays)
    if common.json {
      let body = Body(
        model: self.model, schedule: schedule.text, method: "exact", time: time, alpha: posterior.kernel.alpha,
        sigma: posterior.kernel.sigma, samples: x.batch, dimension: x.count / x.batch, trace: traces,
        logDensity: densities, out: out)
      print(try Report(body: body, seconds: seconds, networkEvaluations: 1).json())
    } else {
      var table = Table(["point", "log density", "trace of F"])
      for index in traces.indices.prefix(20) {
        table.add(["\(index)", fixed(densities[index], 4), significant(traces[index], 6)])
      }
      print(table.text)
      if traces.count > 20 { print("… and \(traces.count - 20) more\(out == nil ? "; --out writes them all" : "")") }
    }
  }
}
