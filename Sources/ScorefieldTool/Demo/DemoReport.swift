import RealModule
import Scorefield

/// The demonstration's answers in words, as a page and as figures.
struct DemoReport {
  let training: KeptTraining.Figures
  let ranking: (figures: LearnedDemo.Ranking, kinds: Tensor, ordered: Tensor)
  let estimators: LearnedDemo.Estimators
  let demo: DigitsDemo
  let levels: (figures: [DigitsDemo.NoiseLevel], noised: Tensor, seen: Tensor)
  let rankings: (figures: [DigitsDemo.Ranking], ordered: Tensor, bits: [Double])
  let eigenvectors: (sigma: Double, figures: [DigitsDemo.Bend], vectors: Tensor, noised: Tensor, seen: Tensor)

  /// Every number of the report.
  struct Figures: Encodable {
    let known, heldOut: Int
    let training: KeptTraining.Figures
    let ranking: LearnedDemo.Ranking
    let estimators: LearnedDemo.Estimators
    let noiseLevels: [DigitsDemo.NoiseLevel]
    let rankings: [DigitsDemo.Ranking]
    let orderedBitsPerDim: [Double]
    let eigenvectorSigma: Double
    let eigenpairs: [DigitsDemo.Bend]
  }

  var figures: Figures {
    Figures(
      known: demo.known.batch, heldOut: demo.heldOut.batch, training: training, ranking: ranking.figures,
      estimators: estimators, noiseLevels: levels.figures, rankings: rankings.figures,
      orderedBitsPerDim: rankings.bits, eigenvectorSigma: eigenvectors.sigma, eigenpairs: eigenvectors.figures)
  }

  private var kindRows: [[String]] {
    [["", "images", "bits/dim"]]
      + ranking.figures.kinds.map {
        [$0.name, "\($0.count)", "\(fixed($0.bitsPerDim, 3)) ± \(fixed($0.bitsPerDimError, 3))"]
      }
  }

  private var traceRows: [[String]] {
    [["estimator"] + estimators.sigmas.map { "sigma \(fixed($0, 2))" }]
      + estimators.rows.map { [$0.name] + $0.traceErrors.map { significant($0, 3) } }
  }

  private var costRows: [[String]] {
    [["estimator", "nats", "bits/dim", "nats, exact", "bits/dim, exact", "ms/image"]]
      + estimators.rows.map {
        [
          $0.name, significant($0.nats, 3), significant($0.bitsPerDim, 3), significant($0.natsToExact, 3),
          significant($0.bitsPerDimToExact, 3), fixed($0.milliseconds, 2),
        ]
      }
  }

  private var trainingWords: String {
    "a network of \(training.parameters) parameters, \(training.steps) steps of \(training.batch) images in "
      + "\(fixed(training.seconds, 0)) s"
  }

  private var winWords: String {
    let found = ranking.figures
    return
      "A held-out digit is likelier than itself damaged in \(fixed(100 * found.overItselfDamaged, 0)) %, than any damaged "
      + "one in \(fixed(100 * found.heldOutOverDamaged, 0)) %, and than a generated one in "
      + "\(fixed(100 * found.heldOutOverGenerated, 0)) % of pairs."
  }

  private var levelRows: [[String]] {
    [["sigma", "log density", "|score|", "trace of F", "|F v|", "ms for 32"]]
      + levels.figures.map {
        [
          fixed($0.sigma, 2), fixed($0.logDensity, 2), significant($0.scoreNorm, 4), significant($0.trace, 4),
          significant($0.productNorm, 4), fixed($0.milliseconds, 1),
        ]
      }
  }

  private var rankingRows: [[String]] {
    [["from sigma", "held-out", "damaged", "noise", "beats damaged", "beats noise", "error, nats", "seconds"]]
      + rankings.figures.map {
        [
          fixed($0.sigma, 1), fixed($0.heldOut, 3), fixed($0.damaged, 3), fixed($0.noise, 3),
          "\(fixed(100 * $0.overDamaged, 1)) %", "\(fixed(100 * $0.overNoise, 1)) %", significant($0.largestError, 2),
          fixed($0.seconds, 1),
        ]
      }
  }

  var words: String {
    let reuse =
      training.isReused ? "\nIt was there already; remove \(training.checkpoint) to train it again." : ""
    return """
      A denoiser of \(demo.known.batch) digits with the trace of its Fisher: \(trainingWords).\(reuse)
      Loss on digits it learned from \(fixed(training.knownLoss, 3)), on held-out ones \(fixed(training.heldOutLoss, 3)).

      Bits per dimension, by the trace head:
      \(Table(rows: kindRows).text)
      \(winWords)

      Error of tr F in % against the exact Fisher of the digits:
      \(Table(rows: traceRows).text)

      Error of a log-likelihood against the network's own full VJP, against the exact field from sigma \(fixed(estimators.exactFrom, 1)), and the time of an evaluation:
      \(Table(rows: costRows).text)

      The exact field of the digits, asked about \(demo.heldOut.batch) it has never seen.

      Score and Fisher at noised digits (means over 32):
      \(Table(rows: levelRows).text)

      Bits per dimension by the probability flow, and how often a held-out digit beats the others:
      \(Table(rows: rankingRows).text)

      Smallest eigenvalues of F at sigma = \(fixed(eigenvectors.sigma, 0)): \
      \(eigenvectors.figures.prefix(4).map { significant($0.eigenvalue, 4) }.joined(separator: ", ")), …
      """
  }

  func page() throws -> HTMLPage {
    var page = HTMLPage("How likely is a digit?")
    page.paragraph(
      "A denoiser was trained on \(demo.known.batch) real digits of 8 × 8 pixels, with the trace of its Fisher beside it: "
        + "\(trainingWords). \(demo.heldOut.batch) digits were held out. The denoiser's loss is "
        + "\(fixed(training.knownLoss, 3)) on digits it learned from and \(fixed(training.heldOutLoss, 3)) on held-out ones."
    )
    page.heading("Ranked by likelihood")
    try page.picture(
      Picture.grey(ranking.kinds, columns: 16, magnified: 5),
      caption: "\(LearnedDemo.kindSize) held-out digits, the same with the inner 4 × 4 pixels destroyed, and "
        + "\(LearnedDemo.kindSize) that the network made.")
    page.table(kindRows)
    page.paragraph(
      winWords + " Bits per dimension are of grey levels, uniformly dequantised, ± one standard error over images.")
    let order = ranking.figures.ordered
    try page.picture(
      Picture.grey(ranking.ordered, columns: 16, magnified: 5),
      caption: "All of them from the likeliest (\(fixed(order[0].bitsPerDim, 3)) bits/dim) to the least likely "
        + "(\(fixed(order[order.count - 1].bitsPerDim, 3))).")
    page.heading("Every way to the trace")
    page.paragraph(
      "Error of tr F in percent, Σ|error|/Σ|truth|, against the exact Fisher of the digits the network learned from, at "
        + "\(estimators.points) of them noised.")
    page.table(traceRows)
    page.chart(
      LineChart(
        horizontal: "log10 sigma", vertical: "error of tr F, %",
        lines: estimators.rows.map { row in
          .init(name: row.name, points: zip(estimators.sigmas, row.traceErrors).map { (x: .log10($0), y: $1) })
        }, isLogarithmic: true),
      caption: "Error of tr F against the exact Fisher of the data.")
    page.chart(
      LineChart(
        horizontal: "log10 sigma", vertical: "error of tr F, %",
        lines: estimators.rows.filter { $0.name != "full VJP" }.map { row in
          .init(name: row.name, points: zip(estimators.sigmas, row.traceErrorsToVjp).map { (x: .log10($0), y: $1) })
        }, isLogarithmic: true),
      caption: "Error of tr F against the full VJP of the same network, at held-out digits.")
    page.paragraph(
      "Error of a log-likelihood, mean of |error| over \(estimators.likelihoods) held-out digits: from sigma "
        + "\(fixed(ranking.figures.from, 2)) against the same flow with the full VJP, and from sigma \(fixed(estimators.exactFrom, 1)) "
        + "against the exact field's own density. A likelihood is one of the network's own flow: the trace of hybrid and null is the "
        + "data's, not the network's, and however near it is to the exact one the sum is the likelihood of nothing. Milliseconds are of one evaluation of the denoiser with its trace."
    )
    page.table(costRows)
    page.heading("What the exact field knows")
    page.paragraph(
      "The exact field is made of the same \(demo.known.batch) digits, and nothing of it was trained: score, Fisher and "
        + "likelihood are the data set's own.")
    page.heading("Behind the noise")
    try page.picture(
      Picture.grey(.concatenated([levels.noised, levels.seen]), columns: 6, magnified: 10),
      caption: "Above: a held-out digit under growing noise, sigma "
        + levels.figures.map { fixed($0.sigma, 2) }.joined(separator: ", ")
        + ". Below: the mean of all digits it may have been.")
    page.table(levelRows)
    page.paragraph(
      "Means over 32 held-out digits. F is minus the second derivative of log q; v points from the noised digit to the clean "
        + "one, with length 1.")
    page.heading("Which of these is a digit?")
    page.table(rankingRows)
    page.paragraph(
      "Bits per dimension of 24 held-out digits, of the same with the inner 4 × 4 pixels destroyed, and of 24 images of noise, "
        + "integrated along the probability flow from three noise levels; the error is the largest difference from the "
        + "field's own density, which is known.")
    try page.picture(
      Picture.grey(rankings.ordered, columns: 24, magnified: 4),
      caption: "All 72 from the likeliest (\(fixed(rankings.bits.first ?? 0, 3)) bits/dim) to the least likely "
        + "(\(fixed(rankings.bits.last ?? 0, 3))), from sigma \(fixed(rankings.figures[1].sigma, 1)).")
    page.heading("Where the field is unsure")
    try page.picture(
      Picture.signed(eigenvectors.vectors, columns: 8, magnified: 10),
      caption:
        "Eigenvectors of the Fisher at a digit noised with sigma \(fixed(eigenvectors.sigma, 0)), smallest eigenvalues "
        + "first: the directions in which the digits behind the noise differ.")
    page.table(
      [["eigenvalue", "residual"]]
        + eigenvectors.figures.map { [significant($0.eigenvalue, 5), significant($0.residual, 1)] })
    return page
  }

  /// One picture of it all.
  func overview() -> HostArray {
    Picture.column([
      Picture.grey(ranking.ordered, columns: 16, magnified: 5), Picture.grey(levels.noised, columns: 6, magnified: 14),
      Picture.grey(levels.seen, columns: 6, magnified: 14),
      Picture.signed(eigenvectors.vectors[..<6], columns: 6, magnified: 14),
    ])
  }
}
