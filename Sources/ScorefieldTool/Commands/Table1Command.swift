import ArgumentParser
import Scorefield

struct Table1Command: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "table1", abstract: "What a product of the Fisher and its trace cost, by the ways to them.",
    discussion: """
      With the U-Net for 3×32×32 images, 39 million parameters, whose weights are random: no time depends on them. The full trace \
      by VJPs is extrapolated from a few of its d products. About two minutes of computing.
      """)

  @OptionGroup var common: CommonOptions
  @OptionGroup var options: ReproduceOptions

  private struct Body: Encodable {
    let table = "table1"
    let `protocol`: Table1.Setup
    let rows: [Table1.Row]
    let out: String?
  }

  mutating func run() throws {
    _ = try common.validated()
    let output = try options.out.map { folder throws(Failure) in try ReproduceOutput(folder, name: "table1") }
    try common.start()
    let clock = ContinuousClock()
    let start = clock.now
    let table = Table1(quick: options.quick, seed: common.seed)
    let seconds = (clock.now - start).seconds
    let body = Body(protocol: table.setup, rows: table.rows, out: options.out)
    let json = try Report(body: body, seconds: seconds, networkEvaluations: table.evaluations).json()
    try output?.write(page: Self.page(table, seconds), table: Self.lines(table), json: json)
    if common.json {
      try Terminal.answer(json)
    } else {
      try Terminal.answer(Table(rows: Self.lines(table)).text)
      try Terminal.answer(Self.words(table.setup))
      if let out = options.out { try Terminal.answer("\(out)/table1.html has every number") }
    }
  }

  private static func lines(_ table: Table1) -> [[String]] {
    [["task", "method", "seconds", "of the VJP", "MiB", "extrapolated", "paper, seconds"]]
      + table.rows.map {
        [
          $0.task.rawValue, $0.method, significant($0.seconds, 3), significant($0.shareOfVjp, 3),
          $0.memoryBytes.map { fixed(Double($0) / 1_048_576, 1) } ?? "", $0.isExtrapolated ? "yes" : "no",
          $0.paperSeconds.map { significant($0, 6) } ?? "",
        ]
      }
  }

  private static func words(_ setup: Table1.Setup) -> String {
    "\(setup.network), \(setup.parameters) parameters, d = \(setup.dimension), batch \(setup.batch), \(setup.threads) threads, medians "
      + "of \(setup.repetitions). The full trace by VJPs is extrapolated from \(setup.measuredVectors) of its \(setup.dimension) "
      + "products. The paper's seconds are of a GPU with Stable Diffusion 1.5, d = 16,384."
  }

  private static func page(_ table: Table1, _ seconds: Double) -> HTMLPage {
    var page = HTMLPage("Table 1: what access to the Fisher costs")
    page.table(lines(table))
    page.paragraph(words(table.setup))
    page.paragraph("\(fixed(seconds, 0)) seconds.")
    return page
  }
}
