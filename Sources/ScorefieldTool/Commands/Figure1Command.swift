import ArgumentParser
import Scorefield

struct Figure1Command: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "figure1",
    abstract: "Likelihood against accuracy over scales of guidance, on class-conditional digits.",
    discussion: "About six minutes of computing, one with --quick.")

  @OptionGroup var common: CommonOptions
  @OptionGroup var options: ReproduceOptions
  @OptionGroup var budget: ReproduceDigits

  private struct Body: Encodable {
    let table = "figure1"
    let `protocol`: Figure1.Setup
    let heldOut: ConditionalDigits.HeldOut
    let rows: [Figure1.Row]
    let out: String?
  }

  mutating func run() throws {
    _ = try common.validated()
    try budget.check(atLeast: 2)
    let files = try DigitSet.Files(in: budget.data, labelled: true)
    let output = try options.out.map { folder throws(Failure) in try ReproduceOutput(folder, name: "figure1") }
    try common.start()
    let digits = try DigitSet(files, heldOut: ConditionalDigits.heldOutCount, seed: common.seed)
    let clock = ContinuousClock()
    let start = clock.now
    let figure = try Figure1(digits, budget: budget, quick: options.quick, seed: common.seed)
    let seconds = (clock.now - start).seconds

    let json = try Report(
      body: Body(protocol: figure.setup, heldOut: figure.heldOut, rows: figure.rows, out: options.out),
      seconds: seconds, networkEvaluations: figure.world.counter.count
    ).json()
    if let output { try output.write(page: Self.page(figure, seconds), table: Self.table(figure.rows), json: json) }
    if common.json {
      try Terminal.answer(json)
    } else {
      try Terminal.answer(Table(rows: [Self.head] + Self.cells(figure)).text)
      try Terminal.answer(Self.words(figure))
      if let out = options.out { try Terminal.answer("\(out)/figure1.html has the chart and the samples") }
    }
  }

  private static let head = [
    "guidance", "accuracy, %", "confidence", "bits/dim", "by a probe", "guided flow", "distance", "spread",
  ]

  private static func cells(_ figure: Figure1) -> [[String]] {
    let real = figure.heldOut
    return figure.rows.map {
      [
        fixed($0.scale, 1), fixed($0.accuracy, error: $0.accuracyError, 1), fixed($0.confidence, 3),
        fixed($0.bitsPerDim, error: $0.bitsPerDimError, 3),
        fixed($0.probedBitsPerDim, error: $0.probedBitsPerDimError, 3),
        fixed($0.guidedBitsPerDim, error: $0.guidedBitsPerDimError, 3),
        fixed($0.distance, 3), fixed($0.diversity, 3),
      ]
    } + [
      [
        "real, held out", fixed(real.accuracy, error: real.accuracyError, 1), fixed(real.confidence, 3),
        fixed(real.bitsPerDim, error: real.bitsPerDimError, 3), "", "", fixed(real.distance, 3), "",
      ]
    ]
  }

  /// What came out.
  private static func words(_ figure: Figure1) -> String {
    let best = figure.rows.max { $0.accuracy < $1.accuracy }!
    let likeliest = figure.rows.min { $0.bitsPerDim < $1.bitsPerDim }!
    let (first, last) = (figure.rows[0], figure.rows[figure.rows.count - 1])
    return "Accuracy is highest at scale \(fixed(best.scale, 1)) (\(fixed(best.accuracy, 1)) %), likelihood at scale "
      + "\(fixed(likeliest.scale, 1)) (\(fixed(likeliest.bitsPerDim, 3)) bits/dim); from scale \(fixed(first.scale, 1)) to "
      + "\(fixed(last.scale, 1)) accuracy changes by \(fixed(last.accuracy - first.accuracy, 1)) points and bits/dim by "
      + "\(fixed(last.bitsPerDim - first.bitsPerDim, 3))."
  }

  /// Every number, a line each.
  private static func table(_ rows: [Figure1.Row]) -> [[String]] {
    [
      [
        "scale", "samples", "accuracy", "accuracy_error", "confidence", "confidence_error", "bits_per_dim",
        "bits_per_dim_error", "probed_bits_per_dim", "probed_bits_per_dim_error", "guided_bits_per_dim",
        "guided_bits_per_dim_error", "distance", "distance_error",
        "diversity",
      ]
    ]
      + rows.map {
        [fixed($0.scale, 2), "\($0.samples)"]
          + [
            $0.accuracy, $0.accuracyError, $0.confidence, $0.confidenceError, $0.bitsPerDim, $0.bitsPerDimError,
            $0.probedBitsPerDim, $0.probedBitsPerDimError, $0.guidedBitsPerDim, $0.guidedBitsPerDimError, $0.distance,
            $0.distanceError, $0.diversity,
          ].map { significant($0, 6) }
      }
  }

  private static func page(_ figure: Figure1, _ seconds: Double) throws -> HTMLPage {
    var page = HTMLPage("Figure 1: likelihood against accuracy over guidance")
    let setup = figure.setup
    page.paragraph(
      "A class-conditional denoiser with a trace head, trained on \(setup.digits.known) digits of 8 × 8 pixels, makes "
        + "\(setup.samplesPerClass) samples of each class under classifier-free guidance. The paper's figure has text for the class "
        + "and the CLIP score for how well it was met; here a classifier of ours that knows nothing of the denoiser stands for "
        + "that score. Bits per dimension are of the samples as grey levels under the conditional model without guidance."
    )
    page.chart(
      LineChart(
        horizontal: "accuracy, %", vertical: "bits/dim",
        lines: [
          .init(name: "conditional model", points: figure.rows.map { (x: $0.accuracy, y: $0.bitsPerDim) }),
          .init(
            name: "the guided flow itself", points: figure.rows.map { (x: $0.accuracy, y: $0.guidedBitsPerDim) },
            isDashed: true),
          .init(
            name: "real digits, held out", points: [(x: figure.heldOut.accuracy, y: figure.heldOut.bitsPerDim)]),
        ]),
      caption: "Along each line guidance grows, from scale \(fixed(figure.rows[0].scale, 1)).")
    page.chart(
      LineChart(
        horizontal: "scale of guidance", vertical: "bits/dim",
        lines: [
          .init(name: "conditional model", points: figure.rows.map { (x: $0.scale, y: $0.bitsPerDim) }),
          .init(
            name: "the guided flow itself", points: figure.rows.map { (x: $0.scale, y: $0.guidedBitsPerDim) },
            isDashed: true),
        ]),
      caption: "The same over the scale.")
    page.paragraph(words(figure))
    page.table([head] + cells(figure))
    page.paragraph(
      "± one standard error. By a probe: Hutchinson's estimate of the trace in place of the trace head. Distance: root mean square difference per pixel, in [−1, 1], to the nearest digit the model was "
        + "trained on. Spread: the mean standard deviation of a pixel within a class.")
    try page.picture(
      Picture.grey(figure.picture, columns: Figure1.pictureColumns, magnified: 4),
      caption: "Two samples of each class, 0 to 9, from the same noise in every row; scales "
        + setup.scales.map { fixed($0, 1) }.joined(separator: ", ") + ".")
    page.paragraph("\(fixed(seconds, 0)) seconds.")
    return page
  }
}
