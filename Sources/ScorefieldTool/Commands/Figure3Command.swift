import ArgumentParser
import Scorefield

struct Figure3Command: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "figure3",
    abstract: "What guided samples score over the number of guided steps, for each way to the Fisher's products.",
    discussion: "About fifteen minutes of computing, two with --quick.")

  @OptionGroup var common: CommonOptions
  @OptionGroup var options: ReproduceOptions
  @OptionGroup var budget: ReproduceDigits
  @OptionGroup var guidance: Figure3Options

  private struct Body: Encodable {
    let table = "figure3"
    let `protocol`: Figure3.Setup
    let rows: [Figure3.Row]
    let costs: [Figure3.Cost]
    let verdicts: [Figure3.Verdict]
    let recommendation: Figure3.Recommendation
    let products: [FisherProducts.Row]
    let neighbours: GuidanceNeighbours
    let out: String?
  }

  mutating func run() throws {
    _ = try common.validated()
    try budget.check(atLeast: 1)
    try guidance.check()
    let files = try DigitSet.Files(in: budget.data, labelled: true)
    let output = try options.out.map { folder throws(Failure) in try ReproduceOutput(folder, name: "figure3") }
    try common.start()
    let digits = try DigitSet(files, heldOut: ConditionalDigits.heldOutCount, seed: common.seed)
    let clock = ContinuousClock()
    let start = clock.now
    let figure = try Figure3(digits, options: guidance, budget: budget, quick: options.quick, seed: common.seed)
    let seconds = (clock.now - start).seconds

    let json = try Report(
      body: Body(
        protocol: figure.setup, rows: figure.rows, costs: figure.costs, verdicts: figure.verdicts,
        recommendation: figure.recommendation,
        products: figure.products, neighbours: figure.neighbours, out: options.out),
      seconds: seconds, networkEvaluations: figure.networkEvaluations
    ).json()
    if let output { try output.write(page: Self.page(figure, seconds), table: Self.table(figure.rows), json: json) }
    if common.json {
      try Terminal.answer(json)
    } else {
      for goal in Figure3.Goal.allCases {
        try Terminal.answer("\(Self.title(goal))\n" + Table(rows: Self.cells(figure, goal)).text + "\n")
      }
      try Terminal.answer(Table(rows: Self.cells(figure.costs)).text + "\n")
      for goal in Figure3.Goal.allCases {
        try Terminal.answer(
          "\(GuidanceNeighbours.title(goal))\n" + Table(rows: figure.neighbours.cells(goal)).text + "\n")
      }
      try Terminal.answer(figure.neighbours.words + "\n")
      for world in FisherProducts.World.allCases {
        try Terminal.answer("\(Self.title(world))\n" + Table(rows: Self.cells(figure.products, world)).text + "\n")
        try Terminal.answer(
          "The same in the Hilbert-Schmidt norm\n"
            + Table(rows: Self.normCells(figure.products, world)).text + "\n")
      }
      try Terminal.answer(Self.words(figure))
      if let out = options.out { try Terminal.answer("\(out)/figure3.html has the charts and the samples") }
    }
  }

  private static func title(_ goal: Figure3.Goal) -> String {
    goal == .label ? "A class asked for: mean loss over guided steps" : "A style asked for: mean loss over guided steps"
  }

  private static func title(_ world: FisherProducts.World) -> String {
    switch world {
    case .digits: "Error of F v in %, against the exact Fisher of the known digits, over sigma/alpha"
    case .mixture: "Error of F v in %, against the exact Fisher of a mixture of normal distributions"
    case .network: "Difference of F v in % to the network's own VJP"
    }
  }

  /// Loss over steps, then the judge's accuracy at the most.
  private static func cells(_ figure: Figure3, _ goal: Figure3.Goal) -> [[String]] {
    let counts = figure.setup.guidedSteps
    let most = counts.max()!
    return [["method"] + counts.map { "\($0)" } + ["judged loss", "accuracy, %", "distance"]]
      + figure.costs.map { cost in
        let own = figure.rows.filter { $0.goal == goal && $0.method == cost.method }
        let last = own.first { $0.guidedSteps == most }!
        return [cost.method] + own.map { fixed($0.loss, error: $0.lossError, 3) }
          + [
            fixed(last.judgedLoss, error: last.judgedLossError, 3), fixed(last.accuracy, error: last.accuracyError, 1),
            fixed(last.distance, 3),
          ]
      }
  }

  private static func cells(_ costs: [Figure3.Cost]) -> [[String]] {
    [["method", "ms/product", "of the VJP", "evaluations", "MiB", "of the VJP", "ms/guided step"]]
      + costs.map {
        [
          $0.method, fixed($0.milliseconds, 2), fixed($0.shareOfVjp, 2), "\($0.networkEvaluations)",
          $0.memoryBytes.map { fixed(Double($0) / 1_048_576, 1) } ?? "",
          $0.shareOfVjpMemory.map { fixed($0, 2) } ?? "", fixed($0.guidedStepMilliseconds, 1),
        ]
      }
  }

  private static func cells(
    _ rows: [FisherProducts.Row], _ world: FisherProducts.World, _ value: (FisherProducts.Row) -> Double = \.error
  ) -> [[String]] {
    let own = rows.filter { $0.world == world }
    let names = own.filter { $0.noiseToSignal == own[0].noiseToSignal }.map(\.method)
    return [["method"] + FisherProducts.ratios.map { significant($0, 2) }]
      + names.map { name in [name] + own.filter { $0.method == name }.map { significant(100 * value($0), 2) } }
  }

  /// Of whole matrices, and what proposition 8 says they are at most.
  private static func normCells(_ rows: [FisherProducts.Row], _ world: FisherProducts.World) -> [[String]] {
    func line(_ name: String, _ bound: (FisherProducts.Row) -> Double?) -> [[String]] {
      let bounds = rows.filter { $0.world == world }.compactMap(bound)
      return bounds.isEmpty ? [] : [["endpoint, draw: \(name)"] + bounds.map { significant(100 * $0, 2) }]
    }
    return cells(rows, world, \.hilbertSchmidtError) + line("at most, by its weights", \.weightedBound)
      + line("at most, by its radius", \.bound)
  }

  /// What came out.
  private static func words(_ figure: Figure3) -> String {
    func methods(_ isMet: (Figure3.Verdict) -> Bool) -> [String] {
      figure.costs.filter { cost in
        cost.isGradientFree && figure.verdicts.filter { $0.method == cost.method }.allSatisfy(isMet)
      }.map(\.method)
    }
    func list(_ names: [String]) -> String { names.isEmpty ? "none" : names.joined(separator: ", ") }
    let recommended = figure.recommendation
    let reached = recommended.verdicts.map { verdict in
      let counts = verdict.reachedAt.map { "\($0)" }
      return "\(list(counts)) (\(verdict.goal.rawValue))"
    }
    let memory =
      recommended.shareOfVjpMemory.map { "\(significant($0, 2)) of its memory" } ?? "memory that is not known"
    let outcome =
      recommended.isMet ? "met" : recommended.isMetWithinError ? "met within two standard errors" : "not met"
    return
      "Without a gradient, in no more than \(significant(Figure3.timeLimit, 2)) of the VJP's time and "
      + "\(significant(Figure3.memoryLimit, 2)) of its memory, and with no more than its loss at every number of guided "
      + "steps, for both goals: \(list(methods(\.isMet))); within two standard errors: "
      + "\(list(methods(\.isMetWithinError))). The recommended way takes \(significant(recommended.shareOfVjp, 2)) of the "
      + "VJP's time per product and \(memory), and reaches its loss at these numbers of guided steps: "
      + "\(reached.joined(separator: ", ")); where it does not, it is at most \(fixed(recommended.largestExcess, 1)) "
      + "standard errors above. What is asked of it is \(outcome)."
  }

  /// Every number, a line each.
  private static func table(_ rows: [Figure3.Row]) -> [[String]] {
    [
      [
        "goal", "method", "guided_steps", "samples", "loss", "loss_error", "excess", "excess_error", "judged_loss",
        "judged_loss_error", "accuracy", "accuracy_error", "distance", "distance_error", "seconds",
        "network_evaluations",
      ]
    ]
      + rows.map {
        [$0.goal.rawValue, $0.method, "\($0.guidedSteps)", "\($0.samples)"]
          + [
            $0.loss, $0.lossError, $0.excess, $0.excessError, $0.judgedLoss, $0.judgedLossError, $0.accuracy,
            $0.accuracyError, $0.distance, $0.distanceError, $0.seconds,
          ].map { significant($0, 6) } + ["\($0.networkEvaluations)"]
      }
  }

  private static func page(_ figure: Figure3, _ seconds: Double) throws -> HTMLPage {
    var page = HTMLPage("Figure 3: the score over guided steps")
    let setup = figure.setup
    page.paragraph(
      "A denoiser trained on \(setup.known) digits of 8 × 8 pixels samples by DDIM in \(setup.samplerSteps) steps; before the last n "
        + "steps ahead of step \(setup.lastGuidedStep) the state moves against the gradient of a loss at the predicted end, by "
        + "\(fixed(setup.strength, 2)) of the noise's length. The gradient goes back through \(setup.predictionSteps) steps by products of "
        + "the Fisher, and the lines differ in where these come from. The loss is one classifier's, the judge another; the noise is the "
        + "same for all.")
    for goal in Figure3.Goal.allCases {
      func chart(_ words: String, _ value: (Figure3.Row) -> Double) -> LineChart {
        LineChart(
          horizontal: "guided steps", vertical: words,
          lines: figure.costs.map { cost in
            .init(
              name: cost.method,
              points: figure.rows.filter { $0.goal == goal && $0.method == cost.method }
                .map { (x: Double($0.guidedSteps), y: value($0)) }, isDashed: !cost.isGradientFree)
          })
      }
      page.heading(title(goal))
      page.chart(
        chart("loss", \.loss), caption: "The loss that is asked to fall. Dashed: with gradients of the network.")
      page.chart(chart("accuracy by the judge, %", \.accuracy), caption: "What the second classifier says.")
      page.table(cells(figure, goal))
    }
    page.heading("What it costs")
    page.table(cells(figure.costs))
    page.paragraph(
      "A product: one evaluation of the Fisher and one product for a batch of \(setup.samplesPerClass * 10); memory: by how much "
        + "the resident memory rises for a batch of \(ProductMeter.memoryBatch).")
    page.paragraph(words(figure))
    try figure.neighbours.describe(on: &page)
    page.heading("How exact the products are")
    for world in FisherProducts.World.allCases {
      page.paragraph(title(world))
      page.table(cells(figure.products, world))
      page.paragraph("The same in the Hilbert-Schmidt norm:")
      page.table(normCells(figure.products, world))
    }
    page.paragraph(
      "Random directions. Endpoints are those of the flow in ten steps; under the names with \"draw\" they are draws of the posterior."
    )
    page.heading("Samples")
    try page.picture(
      Picture.grey(figure.picture, columns: min(Figure3.pictureCount, 10 * setup.samplesPerClass), magnified: 4),
      caption: "At most guided steps, from the same noise; rows: \(figure.pictureNames.joined(separator: "; ")).")
    page.paragraph("\(fixed(seconds, 0)) seconds.")
    return page
  }
}

/// What figure 3 understands beside the rest.
struct Figure3Options: ParsableArguments {
  @Option(help: "How far a guided step moves the state, in units of the noise's length.")
  var strength = 0.2

  @Option(
    name: .customLong("guided"), help: "The numbers of guided steps, such as 0,5,20 (default: 0,2,5,10,15,20).")
  var list: String?

  /// The numbers of guided steps; nil for the standard.
  var guided: [Int]? { list.map { $0.split(separator: ",", omittingEmptySubsequences: false).compactMap { Int($0) } } }

  func check() throws(Failure) {
    guard strength > 0, strength <= 1 else {
      throw .option("--strength", "\(strength) is no share of the noise", repair: "give a number up to 1, such as 0.2")
    }
    guard let list, let guided else { return }
    guard guided.count == list.count(where: { $0 == "," }) + 1, guided.allSatisfy({ (0...Figure3.end).contains($0) }),
      zip(guided, guided.dropFirst()).allSatisfy(<)
    else {
      throw .option(
        "--guided", "'\(list)' does not list rising numbers of steps from 0 to \(Figure3.end)",
        repair: "give some such as 0,5,20")
    }
  }
}
