import ArgumentParser
import Scorefield

struct Figure2Command: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "figure2",
    abstract: "Samples of one class ordered by likelihood: are the likelier ones the cleaner ones?",
    discussion: "About three minutes of computing, less than one with --quick.")

  @OptionGroup var common: CommonOptions
  @OptionGroup var options: ReproduceOptions
  @OptionGroup var budget: ReproduceDigits

  private struct Body: Encodable {
    let table = "figure2"
    let `protocol`: Figure2.Setup
    let heldOut: ConditionalDigits.HeldOut
    let rows: [Figure2.Row]
    let correlations: [Figure2.Correlation]
    let samples: [Figure2.Sample]
    let out: String?
  }

  mutating func run() throws {
    _ = try common.validated()
    try budget.check(atLeast: 8)
    let files = try DigitSet.Files(in: budget.data, labelled: true)
    let output = try options.out.map { folder throws(Failure) in try ReproduceOutput(folder, name: "figure2") }
    try common.start()
    let digits = try DigitSet(files, heldOut: ConditionalDigits.heldOutCount, seed: common.seed)
    let clock = ContinuousClock()
    let start = clock.now
    let figure = try Figure2(digits, budget: budget, quick: options.quick, seed: common.seed)
    let seconds = (clock.now - start).seconds

    let json = try Report(
      body: Body(
        protocol: figure.setup, heldOut: figure.heldOut, rows: figure.rows, correlations: figure.correlations,
        samples: figure.samples, out: options.out),
      seconds: seconds, networkEvaluations: figure.world.counter.count
    ).json()
    if let output { try output.write(page: Self.page(figure, seconds), table: Self.table(figure.rows), json: json) }
    if common.json {
      try Terminal.answer(json)
    } else {
      for cells in [Self.cells(figure.rows), Self.cells(figure.correlations)] {
        try Terminal.answer(Table(rows: cells).text + "\n")
      }
      try Terminal.answer(Self.words(figure))
      if let out = options.out { try Terminal.answer("\(out)/figure2.html has the samples in their order") }
    }
  }

  private static func cells(_ rows: [Figure2.Row]) -> [[String]] {
    return [["digit", "quarter", "bits/dim", "accuracy, %", "confidence", "distance", "ink"]]
      + rows.filter { $0.quarter == 1 || $0.quarter == 4 || $0.label == nil }
      .sorted { ($0.label ?? -1, $0.quarter) < ($1.label ?? -1, $1.quarter) }.map {
        [
          $0.label.map { "\($0)" } ?? "all", ["likeliest", "second", "third", "least likely"][$0.quarter - 1],
          fixed($0.bitsPerDim, error: $0.bitsPerDimError, 3), fixed($0.accuracy, error: $0.accuracyError, 1),
          fixed($0.confidence, error: $0.confidenceError, 3), fixed($0.distance, error: $0.distanceError, 3),
          fixed($0.ink, error: $0.inkError, 3),
        ]
      }
  }

  private static func cells(_ correlations: [Figure2.Correlation]) -> [[String]] {
    [["bits/dim and …", "digit", "Spearman", "p"]]
      + correlations.map {
        [
          $0.with, $0.label.map { "\($0)" } ?? "all",
          "\(fixed($0.spearman, 3)) ± \(fixed($0.standardError, 3))", significant($0.p, 2),
        ]
      }
  }

  /// What came out.
  private static func words(_ figure: Figure2) -> String {
    func verdict(_ name: String, _ rising: String, _ falling: String, _ none: String) -> String {
      let found = figure.correlations.first { $0.with == name && $0.label == nil }!
      let words = found.p > 0.01 ? none : found.spearman > 0 ? rising : falling
      return "\(words) (Spearman \(fixed(found.spearman, 3)) ± \(fixed(found.standardError, 3)))"
    }
    return "Are the likelier ones the cleaner ones? The fewer bits per dimension, "
      + verdict(
        "distance to the nearest real digit", "the nearer the nearest real digit", "the farther the nearest real digit",
        "the nearest real digit is neither nearer nor farther")
      + "; "
      + verdict(
        "confidence", "the less sure the classifier", "the surer the classifier",
        "the classifier is neither surer nor less sure")
      + "; " + verdict("ink", "the less ink", "the more ink", "there is neither more ink nor less") + "."
  }

  /// Every number of the quarters, a line each.
  private static func table(_ rows: [Figure2.Row]) -> [[String]] {
    [
      [
        "digit", "quarter", "samples", "bits_per_dim", "bits_per_dim_error", "accuracy", "accuracy_error", "confidence",
        "confidence_error", "distance", "distance_error", "ink", "ink_error",
      ]
    ]
      + rows.map {
        [$0.label.map { "\($0)" } ?? "all", "\($0.quarter)", "\($0.samples)"]
          + [
            $0.bitsPerDim, $0.bitsPerDimError, $0.accuracy, $0.accuracyError, $0.confidence, $0.confidenceError,
            $0.distance, $0.distanceError, $0.ink, $0.inkError,
          ].map { significant($0, 6) }
      }
  }

  private static func page(_ figure: Figure2, _ seconds: Double) throws -> HTMLPage {
    var page = HTMLPage("Figure 2: samples of one class, the likeliest first")
    let setup = figure.setup
    page.paragraph(
      "\(setup.samplesPerClass) samples of each of the digits \(setup.classes.map { "\($0)" }.joined(separator: ", ")), guidance "
        + "\(fixed(setup.scale, 1)), ordered by bits per dimension under the conditional model without guidance.")
    for (index, label) in setup.classes.enumerated() {
      let range = (index * setup.samplesPerClass)..<((index + 1) * setup.samplesPerClass)
      let own = figure.samples[range].map(\.bitsPerDim)
      try page.picture(
        Picture.grey(figure.picture[range], columns: 16, magnified: 5),
        caption:
          "\(label): from \(fixed(own.first!, 3)) bits/dim, above on the left, to \(fixed(own.last!, 3)), below on the right."
      )
    }
    page.heading("Are the likelier ones the cleaner ones?")
    page.paragraph(words(figure))
    page.table(cells(figure.rows))
    page.table(cells(figure.correlations))
    let real = figure.heldOut
    page.paragraph(
      "Confidence: the classifier's probability of the class asked for. Distance: root mean square difference per pixel, in [−1, "
        + "1], to the nearest digit the model was trained on. Ink: the mean of all pixels. ± one standard error. Correlations are of "
        + "ranks within a class. For comparison, \(real.count) real digits that were held out: \(fixed(real.bitsPerDim, 3)) ± "
        + "\(fixed(real.bitsPerDimError, 3)) bits/dim, accuracy \(fixed(real.accuracy, 1)) %, distance \(fixed(real.distance, 3))."
    )
    page.paragraph("\(fixed(seconds, 0)) seconds.")
    return page
  }
}
