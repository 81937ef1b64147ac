import ArgumentParser
import RealModule
import Scorefield

struct CompareSolversCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare-solvers",
    abstract: "How far solvers are from the flow's own end, over evaluations of the model.",
    discussion: """
      Every solver runs from the same states in so many steps that it asks the model no more often than is allowed, and those that \
      choose their steps at ever smaller tolerances until they ask more often; its error is the \
      root mean square of the distance, per number, from the end that an adaptive method of order five finds. The folder of --out gets \
      the page with the chart (.html), the table (.csv) and the figures (.json).
      """)

  @OptionGroup var common: CommonOptions
  @OptionGroup var choice: ModelOptions

  @Option(help: "Solvers, divided by spaces (default: all without noise).")
  var solvers: String?

  @Option(help: "The statistics of the model, for dpm-solver-v3 (.safetensors, from 'solver-statistics').")
  var statistics: String?

  @Option(help: "How often each may ask the model.")
  var nfe = "6,12,24,48,96"

  @Option(help: "uniform-time, uniform-half-log-snr or karras:rho=7.")
  var grid = "uniform-half-log-snr"

  @Option(help: "The first time (default: the end; edm: 80).")
  var from: Double?

  @Option(help: "The last time (default: 1e-3; edm: 0.002).")
  var to: Double?

  @Option(help: "How many samples to draw.")
  var count = 64

  @Option(help: "The tolerance of the reference (default: 1e-10, and 1e-6 in float32).")
  var rtol: Double?

  @Option(help: "The folder for the page, the table and the figures.")
  var out: String?

  /// The error of a solver in so many steps, or at a tolerance.
  struct Row: Encodable {
    let solver: String
    /// Of those that do not choose them.
    let steps: Int?
    /// `rtol`, of those that choose their steps.
    let tolerance: Double?
    let evaluations: Int
    let error: Double?
    /// From the row before: the slope of the error in the length of a step, or in one over the evaluations.
    let order: Double?
    let seconds: Double
  }

  private struct Body: Encodable {
    let model, schedule, grid: String
    let from, to, tolerance: Double
    let samples, dimension, referenceEvaluations: Int
    let rows: [Row]
    let out: String?
  }

  private func budgets() throws(Failure) -> [Int] {
    let numbers = nfe.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
    guard numbers.allSatisfy({ $0.map { $0 > 0 && $0 <= 100_000 } ?? false }),
      zip(numbers, numbers.dropFirst()).allSatisfy({ $0.0! < $0.1! })
    else {
      throw .option("--nfe", "'\(nfe)' does not list rising counts of evaluations", repair: "give some such as 6,12,24")
    }
    return numbers.map { $0! }
  }

  mutating func run() throws {
    let asked = try common.validated()
    let budgets = try budgets()
    let names =
      solvers.map { $0.split(separator: " ").map(String.init) }
      ?? SamplerInput.fixedSteps + SamplerInput.adaptive + (statistics == nil ? [] : SamplerInput.informed)
    var ways = try names.map { (name) throws(Failure) in try SamplerInput(name) }
    for way in ways { try way.checkStatistics(given: statistics) }
    guard statistics == nil || ways.contains(where: \.needsStatistics) else {
      throw Failure.option(
        "--statistics", "none of the solvers has a use for them",
        repair: "leave --statistics out, or use dpm-solver-v3-2")
    }
    guard !ways.isEmpty else {
      throw Failure.option("--solvers", "names none", repair: "leave it out for all")
    }
    if let noisy = zip(names, ways).first(where: \.1.isNoisy) {
      throw Failure.option(
        "--solvers", "'\(noisy.0)' draws noise, and its samples do not end where the flow does",
        repair: "name solvers without noise, or leave it out for all")
    }
    let source = try ModelInput(choice)
    let schedule = source.schedule
    let (from, to) = try TimeEnds(of: schedule.schedule).span(from: from, to: to, on: schedule)
    let spread = try GridInput(grid)
    guard count > 0, count <= 1_000_000 else {
      throw Failure.option("--count", "\(count) is no count of samples", repair: "give a number from 1 to 1000000")
    }
    let output = try out.map { folder throws(Failure) in try ReproduceOutput(folder, name: "solvers") }
    let levels = try common.levels(beside: source)
    try source.checkCondition(for: count)
    try common.start()
    let model = try source.loaded(type: asked, levels: levels)
    if let statistics {
      let found = try StatisticsFile(statistics).statistics(
        ofShape: model.sampleShape, along: try spread.grid(1, over: schedule.schedule, from: from, to: to),
        on: schedule.schedule, model: try source.fingerprint(of: model, levels: levels))
      ways = ways.map { $0.told(found) }
    }
    let tolerance = try LikelihoodSolver.tolerance(rtol ?? (model.type == .float64 ? 1e-10 : 1e-6), "rtol")
    var generator = Generator(seed: common.seed)
    let start = startingNoise(
      [count] + model.sampleShape, at: from, on: schedule.schedule, type: model.type, using: &generator)

    let clock = ContinuousClock()
    let begin = clock.now
    let total = ways.count * budgets.count + 1
    let progress = Progress("compare-solvers", total: total)
    let times = { (steps: Int) throws(Failure) in
      try spread.grid(steps, over: schedule.schedule, from: from, to: to)
    }
    let reference = sample(
      model.denoiser, from: start, along: try times(1), with: FlowSolver(.dopri5(rtol: tolerance, atol: tolerance)),
      finalDenoise: false)
    var evaluations = reference.evaluations
    progress.show(1)
    var rows: [Row] = []
    func error(of run: SampleRun) -> Double {
      (run.samples - reference.samples).to(.float64).squared().mean().item.squareRoot()
    }
    func order(_ last: Double?, _ error: Double, _ ratio: Double) -> Double? {
      guard let last, error > 0, last > 0, error.isFinite, ratio > 1 else { return nil }
      return .log(last / error) / .log(ratio)
    }
    for (name, way) in zip(names, ways) {
      guard way.hasFixedSteps else {
        var before: Row?
        for way in way.sweep {
          progress.show(min(rows.count, total - 2) + 1, note: name)
          let moment = clock.now
          let run = way.run(model.denoiser, from: start, along: try times(1), finalDenoise: false, keepingPath: false)
          let seconds = (clock.now - moment).seconds
          evaluations += run.evaluations
          guard run.outcome == .converged, run.evaluations <= budgets[budgets.count - 1] else { break }
          // A smaller tolerance that takes the same steps says nothing more.
          guard run.evaluations > before?.evaluations ?? 0 else { continue }
          let error = error(of: run)
          let row = Row(
            solver: name, steps: nil, tolerance: way.tolerance, evaluations: run.evaluations,
            error: numbers([error])[0],
            order: order(before?.error, error, Double(run.evaluations) / Double(before?.evaluations ?? 1)),
            seconds: seconds)
          rows.append(row)
          before = row
        }
        continue
      }
      // What a step costs once a method is on its way, and what it costs to get there.
      func cost(_ steps: Int) throws -> Int {
        let one = start[..<1]
        return way.run(model.denoiser, from: one, along: try times(steps), finalDenoise: false, keepingPath: false)
          .evaluations
      }
      let (few, more) = (try cost(4), try cost(8))
      evaluations += few + more
      let perStep = max(1, (more - few) / 4)
      var before: Row?
      for budget in budgets {
        let steps = (budget - (few - 4 * perStep)) / perStep
        progress.show(min(rows.count, total - 2) + 1, note: name)
        guard steps > 0 else { continue }
        let moment = clock.now
        let run = way.run(
          model.denoiser, from: start, along: try times(steps), finalDenoise: false, keepingPath: false)
        let seconds = (clock.now - moment).seconds
        evaluations += run.evaluations
        let error = error(of: run)
        let row = Row(
          solver: name, steps: steps, tolerance: nil, evaluations: run.evaluations, error: numbers([error])[0],
          order: order(before?.error, error, Double(steps) / Double(before?.steps ?? 1)), seconds: seconds)
        rows.append(row)
        before = row
      }
    }
    let seconds = (clock.now - begin).seconds
    progress.finish()
    try model.check()

    let body = Body(
      model: choice.model, schedule: schedule.text, grid: grid, from: from, to: to, tolerance: tolerance,
      samples: count,
      dimension: model.dimension, referenceEvaluations: reference.evaluations, rows: rows, out: out)
    let json = try Report(body: body, seconds: seconds, networkEvaluations: evaluations).json()
    try output?.write(page: Self.page(body), table: Self.lines(rows), json: json)
    if common.json {
      try Terminal.answer(json)
    } else {
      try Terminal.answer(Table(rows: Self.wide(rows, budgets)).text)
      if let out { try Terminal.answer("\(out)/solvers.html has the chart") }
    }
    reference.outcome.warn(of: "the reference's ends")
  }

  /// Every number, a line each.
  private static func lines(_ rows: [Row]) -> [[String]] {
    [["solver", "steps", "tolerance", "evaluations", "error", "order", "seconds"]]
      + rows.map {
        [
          $0.solver, $0.steps.map { "\($0)" } ?? "", $0.tolerance.map { significant($0, 2) } ?? "", "\($0.evaluations)",
          $0.error.map { significant($0, 4) } ?? "",
          $0.order.map { fixed($0, 2) } ?? "", significant($0.seconds, 3),
        ]
      }
  }

  /// A line for each solver, the one with the least error at most evaluations first.
  private static func wide(_ rows: [Row], _ budgets: [Int]) -> [[String]] {
    let names = rows.reduce(into: [String]()) { if $0.last != $1.solver { $0.append($1.solver) } }
    func own(_ name: String) -> [Row] { rows.filter { $0.solver == name } }
    func last(_ name: String) -> Double { own(name).last?.error ?? .infinity }
    return [["error at evaluations ≤"] + budgets.map { "\($0)" } + ["order"]]
      + names.sorted { last($0) < last($1) }.map { name in
        let cells = budgets.map { budget in
          own(name).last { $0.evaluations <= budget }.flatMap(\.error).map { significant($0, 2) } ?? ""
        }
        return [name] + cells + [own(name).last?.order.map { fixed($0, 1) } ?? ""]
      }
  }

  private static func page(_ body: Body) -> HTMLPage {
    var page = HTMLPage("Solvers compared")
    page.paragraph(
      "\(body.samples) samples of \(body.model) on \(body.schedule), times \(body.grid) from \(significant(body.from, 4)) to "
        + "\(significant(body.to, 4)). The error is the root mean square per number of the distance from the end an adaptive method of "
        + "order five finds at a tolerance of \(significant(body.tolerance, 2)) (\(body.referenceEvaluations) evaluations)."
    )
    let names = body.rows.reduce(into: [String]()) { if $0.last != $1.solver { $0.append($1.solver) } }
    page.chart(
      LineChart(
        horizontal: "log2 of evaluations", vertical: "error",
        lines: names.map { name in
          .init(
            name: name,
            points: body.rows.filter { $0.solver == name }.compactMap { row in
              row.error.map { (x: .log2(Double(row.evaluations)), y: $0) }
            })
        }, isLogarithmic: true), caption: "Error over evaluations of the model.")
    page.table(lines(body.rows))
    return page
  }
}
