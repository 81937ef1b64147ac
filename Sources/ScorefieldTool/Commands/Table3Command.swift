import ArgumentParser
import Scorefield

struct Table3Command: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "table3",
    abstract: "Whether the probability flow's map is an optimal transport, by its Jacobians on two-dimensional data.",
    discussion: """
      'converged' integrates until it no longer changes and gives every Jacobian its error; 'paper' is the protocol behind the printed \
      numbers, with the sign its script has and with the one that is derived.
      """)

  @OptionGroup var common: CommonOptions
  @OptionGroup var options: ReproduceOptions

  @Option(name: .customLong("protocol"), help: "converged or paper.")
  var protocolName = "converged"

  @Option(help: "Starts, each a trial (default: 1000, paper 4000; 100 and 400 with --quick).")
  var trials: Int?

  @Option(help: "Steps of the paper's protocol (default: 20, 50, 100, 250, 500 and 1000).")
  var steps: Int?

  private struct Body<Setup: Encodable, Row: Encodable>: Encodable {
    let table = "table3"
    let `protocol`: Setup
    let rows: [Row]
    let out: String?
  }

  private func checked() throws(Failure) -> Table3.Way {
    guard let kind = Table3.Way(rawValue: protocolName) else {
      throw .option("--protocol", "'\(protocolName)' is no protocol", repair: "use converged or paper")
    }
    guard trials.map({ $0 >= 2 && $0 <= 1_000_000 }) ?? true else {
      throw .option("--trials", "\(trials ?? 0) is no count of trials", repair: "give a number from 2 to 1000000")
    }
    guard steps == nil || kind == .paper else {
      throw .option("--steps", "the converged protocol takes the steps it needs", repair: "add --protocol paper")
    }
    guard steps.map({ $0 >= 2 && $0 <= 1000 }) ?? true else {
      throw .option("--steps", "\(steps ?? 0) is no count of steps", repair: "give a number from 2 to 1000")
    }
    return kind
  }

  mutating func run() throws {
    _ = try common.validated()
    let kind = try checked()
    let output = try options.out.map { folder throws(Failure) in try ReproduceOutput(folder, name: "table3") }
    try common.start()
    let clock = ContinuousClock()
    let start = clock.now
    switch kind {
    case .converged:
      let table = Table3(trials: trials ?? (options.quick ? 100 : 1000), quick: options.quick, seed: common.seed)
      let picture = Table3.Picture()
      let seconds = (clock.now - start).seconds
      try answer(
        Body(protocol: table.setup, rows: table.rows, out: options.out), seconds, table.evaluations,
        Table3Page.lines(table), Table3Page.table(table.rows), Table3Page.words(table)
      ) {
        Table3Page.page(table, picture, seconds)
      } write: {
        try output?.write(page: $0, table: $1, json: $2)
      }
    case .paper:
      let paper = Table3.Paper(
        trials: trials ?? (options.quick ? 400 : 4000), steps: steps, quick: options.quick, seed: common.seed)
      let seconds = (clock.now - start).seconds
      try answer(
        Body(protocol: paper.setup, rows: paper.rows, out: options.out), seconds, paper.evaluations,
        Table3Page.lines(paper), Table3Page.table(paper.rows), Table3Page.words(paper)
      ) {
        Table3Page.page(paper, seconds)
      } write: {
        try output?.write(page: $0, table: $1, json: $2)
      }
    }
  }

  private func answer(
    _ body: some Encodable, _ seconds: Double, _ evaluations: Int, _ lines: [[String]], _ table: [[String]],
    _ words: String,
    page: () -> HTMLPage, write: (HTMLPage, [[String]], String) throws -> Void
  ) throws {
    let json = try Report(body: body, seconds: seconds, networkEvaluations: evaluations).json()
    try write(page(), table, json)
    if common.json {
      try Terminal.answer(json)
    } else {
      try Terminal.answer(Table(rows: lines).text)
      try Terminal.answer(words)
      if let out = options.out { try Terminal.answer("\(out)/table3.html has every number") }
    }
  }
}
