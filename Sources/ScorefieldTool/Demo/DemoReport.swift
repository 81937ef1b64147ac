import Scorefield

/// The demonstration's answers in words, as a page and as figures.
struct DemoReport {
  let demo: DigitsDemo
  let levels: (figures: [DigitsDemo.NoiseLevel], noised: Tensor, seen: Tensor)
  let rankings: (figures: [DigitsDemo.Ranking], ordered: Tensor, bits: [Double])
  let eigenvectors: (sigma: Double, figures: [DigitsDemo.Bend], vectors: Tensor, noised: Tensor, seen: Tensor)

  /// Every number of the report.
  struct Figures: Encodable {
    let known, heldOut: Int
    let noiseLevels: [DigitsDemo.NoiseLevel]
    let rankings: [DigitsDemo.Ranking]
    let orderedBitsPerDim: [Double]
    let eigenvectorSigma: Double
    let eigenpairs: [DigitsDemo.Bend]
  }

  var figures: Figures {
    Figures(
      known: demo.known.batch, heldOut: demo.heldOut.batch, noiseLevels: levels.figures, rankings: rankings.figures,
      orderedBitsPerDim: rankings.bits, eigenvectorSigma: eigenvectors.sigma, eigenpairs: eigenvectors.figures)
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
    """
    The exact field of \(demo.known.batch) digits, asked about \(demo.heldOut.batch) it has never seen.

    Score and Fisher at noised digits (means over 32):
    \(text(levelRows))

    Bits per dimension by the probability flow, and how often a held-out digit beats the others:
    \(text(rankingRows))

    Smallest eigenvalues of F at sigma = \(fixed(eigenvectors.sigma, 0)): \
    \(eigenvectors.figures.prefix(4).map { significant($0.eigenvalue, 4) }.joined(separator: ", ")), …
    """
  }

  private func text(_ rows: [[String]]) -> String {
    var table = Table(rows[0])
    for row in rows.dropFirst() { table.add(row) }
    return table.text
  }

  func page() throws -> HTMLPage {
    var page = HTMLPage("What the exact field of the digits knows")
    page.paragraph(
      "The field is made of \(demo.known.batch) real digits of 8 × 8 pixels; \(demo.heldOut.batch) others were held out. "
        + "Nothing was trained: score, Fisher and likelihood are the data set's own.")
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
      Picture.grey(levels.noised, columns: 6, magnified: 14), Picture.grey(levels.seen, columns: 6, magnified: 14),
      Picture.signed(eigenvectors.vectors[..<6], columns: 6, magnified: 14),
    ])
  }
}
