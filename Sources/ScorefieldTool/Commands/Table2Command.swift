import ArgumentParser
import Scorefield

struct Table2Command: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "table2",
    abstract: "Errors of the learned trace on a chessboard, by every method, against the exact Fisher.",
    discussion: "About ten minutes on two cores, three seeds; two minutes with --quick.")

  @OptionGroup var common: CommonOptions
  @OptionGroup var options: ReproduceOptions

  @Flag(help: "Change one part of the recipe at a time, too (some minutes more).")
  var ablation = false

  private struct Body: Encodable {
    let table = "table2"
    let `protocol`: Table2.Setup
    let rows: [Table2.Row]
    let likelihoods: [Table2.LikelihoodRow]
    let ablation: [Table2.Row]?
    let out: String?
  }

  mutating func run() throws {
    _ = try common.validated()
    let output = try options.out.map { folder throws(Failure) in try ReproduceOutput(folder, name: "table2") }
    try common.start()
    let clock = ContinuousClock()
    let start = clock.now
    let experiment = Table2(quick: options.quick, seed: common.seed)
    let (rows, likelihoods) = experiment.rows()
    let changes = ablation ? experiment.ablation() : nil
    let seconds = (clock.now - start).seconds

    let json = try Report(
      body: Body(protocol: experiment.setup, rows: rows, likelihoods: likelihoods, ablation: changes, out: options.out),
      seconds: seconds,
      networkEvaluations: experiment.counter.count
    ).json()
    try output?.write(page: page(rows, likelihoods, changes, seconds), table: Self.table(rows), json: json)
    if common.json {
      try Terminal.answer(json)
    } else {
      try Terminal.answer(
        "L1 error of the trace in % (median of \(experiment.setup.seeds.count) seeds), and the paper's mean")
      try Terminal.answer(Table(rows: Self.cells(rows)).text)
      try Terminal.answer("\nMean error of log q at sigma/alpha = \(Table2.likelihoodRatio)")
      try Terminal.answer(Table(rows: Self.likelihoodCells(likelihoods)).text)
      if let changes {
        try Terminal.answer("\nL1 error of the trace in %, one part of the recipe changed at a time")
        try Terminal.answer(Table(rows: Self.ablationCells(changes)).text)
      }
      if let out = options.out { try Terminal.answer("\(out)/table2.html has spreads, medians, means and pictures") }
    }
  }

  /// A line per method, a column per time.
  private static func cells(_ rows: [Table2.Row]) -> [[String]] {
    var cells = [["method"] + Table2.times.map { "t = \(fixed($0, 1))" }]
    for method in Table2.methods {
      let own = rows.filter { $0.method == method }
      cells.append([method] + own.map { significant($0.l1, 3) })
      if own.allSatisfy({ $0.paper != nil }) {
        cells.append(
          ["  the paper's \(method == "DF-TM as printed" ? "DF-TM" : "VJP")"] + own.map { fixed($0.paper!, 2) })
      }
    }
    return cells
  }

  private static func ablationCells(_ rows: [Table2.Row]) -> [[String]] {
    var names: [String] = []
    for row in rows where !names.contains(row.method) { names.append(row.method) }
    return [["change"] + Table2.times.map { "t = \(fixed($0, 1))" }]
      + names.map { name in [name] + rows.filter { $0.method == name }.map { significant($0.l1, 3) } }
  }

  private static func likelihoodCells(_ rows: [Table2.LikelihoodRow]) -> [[String]] {
    [["method", "nats", "bits/dim", "to its VJP, nats", "bits/dim", "least", "most"]]
      + rows.map { row in
        [row.method, significant(row.nats, 3), significant(row.bitsPerDim, 3)]
          + [row.natsToOwnVjp, row.bitsPerDimToOwnVjp].map { $0.map { significant($0, 3) } ?? "" }
          + row.spread.map { significant($0, 3) }
      }
  }

  /// Every number, a line each.
  private static func table(_ rows: [Table2.Row]) -> [[String]] {
    let head = [
      "method", "time", "l1", "median", "mean", "paper", "spread_low", "spread_high", "exact_share", "bound",
      "largest_error_to_bound",
    ]
    return [head]
      + rows.map { row in
        [row.method, fixed(row.time, 1)] + [row.l1, row.median, row.mean].map { significant($0, 6) }
          + [row.paper.map { fixed($0, 2) } ?? ""] + row.spread.map { significant($0, 6) }
          + [row.exactShare, row.bound, row.largestErrorToBound].map { $0.map { significant($0, 6) } ?? "" }
      }
  }

  private func page(
    _ rows: [Table2.Row], _ likelihoods: [Table2.LikelihoodRow], _ changes: [Table2.Row]?, _ seconds: Double
  ) -> HTMLPage {
    var page = HTMLPage("Table 2: the learned trace on a chessboard")
    page.paragraph(
      "Errors of tr F in percent at samples of q_t, against the exact Fisher of 5,000 points: L1 = Σ|error|/Σ|truth|, for the "
        + "trace crosses zero and a mean of relative errors is fragile. Medians of three seeds; \"0.0\" is t = 1e-3. The "
        + "paper prints means of relative errors.")
    page.table(Self.cells(rows))
    page.chart(
      LineChart(
        horizontal: "t", vertical: "L1 error, %",
        lines: Table2.methods.map { method in
          LineChart.Line(
            name: method, points: rows.filter { $0.method == method }.map { (x: $0.time, y: $0.l1) }.reversed())
        }
          + Table2.methods.compactMap { method in
            let own = rows.filter { $0.method == method && $0.paper != nil }
            return own.isEmpty
              ? nil
              : LineChart.Line(
                name: "paper, \(method == "DF-TM as printed" ? "DF-TM" : "VJP")",
                points: own.map { (x: $0.time, y: $0.paper!) }.reversed(), isDashed: true)
          },
        isLogarithmic: true),
      caption: "L1 error over time.")
    page.heading("Likelihoods")
    page.table(Self.likelihoodCells(likelihoods))
    page.paragraph(
      "Mean absolute error of log q at σ/α = \(Table2.likelihoodRatio), along the network's own flow, against the exact field "
        + "and against the full VJP of the same network; medians over three seeds, the least and the most.")
    if let changes {
      page.heading("What each part is worth")
      page.table(Self.ablationCells(changes))
      page.paragraph("L1 errors in percent; one seed, a smaller budget, one part of the recipe changed at a time.")
    }
    page.heading("All numbers")
    page.table(Self.table(rows))
    page.paragraph("\(fixed(seconds, 0)) seconds.")
    return page
  }
}
