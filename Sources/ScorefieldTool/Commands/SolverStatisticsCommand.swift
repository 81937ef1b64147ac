import ArgumentParser
import Scorefield

struct SolverStatisticsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "solver-statistics",
    abstract: "Measure what DPM-Solver-v3 is told of a model, once for all its samples.",
    discussion: """
      Runs trajectories of the model and writes half_log_snr [n] and the tables l, a and b, a row per node and a number per dimension; \
      'sample' and 'compare-solvers' read them with --statistics.
      """)

  @OptionGroup var common: CommonOptions
  @OptionGroup var choice: ModelOptions

  @Option(help: "The first time (default: the end; edm: 80).")
  var from: Double?

  @Option(help: "The last time (default: 1e-3; edm: 0.002).")
  var to: Double?

  @Option(help: "How many trajectories.")
  var count = 1024

  @Option(help: "At how many values of log(α/σ), equally far apart.")
  var nodes = 120

  @Option(help: "How many steps of DPM-Solver++(2M) a trajectory has at least.")
  var steps = 200

  @Option(help: "How many trajectories are computed at once.")
  var batch = 256

  @Option(
    help: """
      Random probes of the Jacobian's diagonal per trajectory (default: none but every basis vector up to 64 dimensions, and 4 \
      probes above).
      """)
  var probes: Int?

  @Option(
    help: "How the Jacobian is had: exact, vjp, jvp or finite-difference (default: exact for exact fields, else vjp).")
  var method: String?

  @Option(help: "Where the statistics go (.safetensors).")
  var out: String

  private struct Body: Encodable {
    let model, schedule, method, out: String
    let from, to: Double
    let trajectories, nodes, steps, dimension: Int
    let probes: Int?
  }

  private static let methods = ["exact", "vjp", "jvp", "finite-difference"]

  private func checkCounts() throws(Failure) {
    let counts = [
      ("--count", count, 1...1_000_000), ("--nodes", nodes, 2...100_000), ("--steps", steps, 1...1_000_000),
      ("--batch", batch, 1...1_000_000), ("--probes", probes ?? 1, 1...100_000),
    ]
    for (option, value, range) in counts where !range.contains(value) {
      throw .option(
        option, "\(value) is out of range", repair: "give a number from \(range.lowerBound) to \(range.upperBound)")
    }
  }

  mutating func run() throws {
    let asked = try common.validated()
    try checkCounts()
    guard method.map(Self.methods.contains) ?? true else {
      throw Failure.option(
        "--method", "'\(method ?? "")' gives no Jacobian here",
        repair: "use one of \(Self.methods.joined(separator: ", "))")
    }
    let source = try ModelInput(choice)
    let schedule = source.schedule
    let (from, to) = try TimeEnds(of: schedule.schedule).span(from: from, to: to, on: schedule)
    let intervals = nodes - 1
    try TimeEnds.check(from, to, on: schedule.schedule, steps: intervals * ((steps + intervals - 1) / intervals))
    guard ArrayOutput.fileExtension(of: out) == "safetensors" else {
      throw Failure.option(
        "--out", "'\(out)' ends in no format that is known", repair: "give a name ending in .safetensors")
    }
    try ArrayOutput.checkWritable(out)
    let levels = try common.levels(beside: source)
    try source.checkCondition(for: nil)

    try common.start()
    let model = try source.loaded(type: asked, levels: levels)
    let input = try FisherMethodInput(method ?? (model.field == nil ? "vjp" : "exact"), option: "--method")
      .resolved(for: model, option: "--method")
    let counter = EvaluationCounter()
    let probes = self.probes ?? (model.dimension <= 64 ? nil : 4)
    var measurement = StatisticsMeasurement(
      of: CountedDenoiser(model.denoiser, counter: counter),
      fisher: input.access(of: model, counter: counter, data: nil, seed: common.seed), from: from, to: to, nodes: nodes,
      steps: steps, diagonal: probes.map { .probes($0) } ?? .exact, seed: common.seed &+ 0x5C0F)

    let clock = ContinuousClock()
    let begin = clock.now
    var generator = Generator(seed: common.seed)
    let batches = (count + batch - 1) / batch
    let progress = Progress("solver-statistics", total: batches * nodes)
    for index in 0..<batches {
      let size = min(batch, count - index * batch)
      let starts = startingNoise(
        [size] + model.sampleShape, at: from, on: schedule.schedule, type: model.type, using: &generator)
      measurement.add(starts) { progress.show(index * nodes + $0) }
      try model.check()
    }
    let statistics = measurement.statistics
    let seconds = (clock.now - begin).seconds
    progress.finish()
    guard [statistics.l, statistics.a, statistics.b].allSatisfy({ $0.isFinite().all() }) else {
      throw Failure(
        .badData, choice.model, "its trajectories do not stay finite",
        repair: "take more steps, or times farther from the ends")
    }
    let parts = try statistics.encoded(model: try source.fingerprint(of: model, levels: levels), name: out)
    try OutputFile.write([OutputFile(parts, out)])

    if common.json {
      let body = Body(
        model: choice.model, schedule: schedule.text, method: input.name, out: out, from: from, to: to,
        trajectories: count,
        nodes: nodes, steps: intervals * measurement.stepsBetween, dimension: model.dimension, probes: probes)
      try Terminal.answer(try Report(body: body, seconds: seconds, networkEvaluations: counter.count).json())
    } else {
      try Terminal.answer(
        "statistics of \(count) trajectories at \(nodes) noise levels in \(out), \(counter.count) evaluations")
    }
  }
}
