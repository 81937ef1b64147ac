import RealModule
import Scorefield

/// Table 3 in words, tables and pictures.
enum Table3Page {
  // MARK: Converged

  static func lines(_ table: Table3) -> [[String]] {
    [
      [
        "data, schedule", "off-diagonal, %", "paper, %", "full, %", "median", "largest", "smallest eigenvalue",
        "not optimal", "undecided", "error bound, %", "answer",
      ]
    ]
      + table.rows.map {
        [
          "\($0.data.rawValue), \($0.schedule.rawValue)", fixed($0.offDiagonal, error: $0.offDiagonalError, 2),
          $0.paper.map { fixed($0, 2) } ?? "", fixed($0.full, error: $0.fullError, 3), fixed($0.fullMedian, 3),
          fixed($0.fullLargest, 2), significant($0.smallestEigenvalue, 2), "\(fixed(100 * $0.notOptimal, 1)) %",
          "\(fixed(100 * $0.undecided, 1)) %", significant($0.largestErrorBound, 2), $0.answer.rawValue,
        ]
      }
  }

  /// Every number, a line each.
  static func table(_ rows: [Table3.Row]) -> [[String]] {
    [
      [
        "data", "schedule", "trials", "off_diagonal", "off_diagonal_error", "full", "full_error", "full_median",
        "full_largest", "smallest_eigenvalue", "optimal", "not_optimal", "undecided", "indefinite",
        "largest_error_bound", "answer", "paper",
      ]
    ]
      + rows.map {
        [$0.data.rawValue, $0.schedule.rawValue, "\($0.trials)"]
          + [
            $0.offDiagonal, $0.offDiagonalError, $0.full, $0.fullError, $0.fullMedian, $0.fullLargest,
            $0.smallestEigenvalue, $0.optimal, $0.notOptimal, $0.undecided, $0.indefinite, $0.largestErrorBound,
          ].map { significant($0, 6) } + [$0.answer.rawValue, $0.paper.map { fixed($0, 2) } ?? ""]
      }
  }

  static func words(_ table: Table3) -> String {
    func row(_ data: Table3.DataSet, _ path: Table3.Path) -> Table3.Row {
      table.rows.first { $0.data == data && $0.schedule == path }!
    }
    let (own, turned) = (row(.nonAffine, .edm), row(.nonAffineRotated, .edm))
    return
      "Three points on no line: \(fixed(100 * own.notOptimal, 1)) % of the trials refute an optimal transport. Turning the data by "
      + "45 degrees takes the off-diagonal index of EDM from \(fixed(own.offDiagonal, 2)) to \(fixed(turned.offDiagonal, 2)) %; "
      + "the full index is \(fixed(own.full, 3)) and \(fixed(turned.full, 3)) %."
  }

  static func page(_ table: Table3, _ picture: Table3.Picture, _ seconds: Double) -> HTMLPage {
    var page = HTMLPage("Table 3: is the flow's map an optimal transport?")
    page.paragraph(
      "The Jacobian J of the probability flow's map, from x_T ~ N(0, I) at the noise-to-signal ratio "
        + Table3.Path.allCases.map { "\(fixed($0.ratio, 4)) (\($0.rawValue))" }.joined(separator: ", ")
        + " down to \(significant(table.setup.endRatio, 2)); \(table.setup.trials) trials, ± one standard error. Full: "
        + "|J − Jᵀ|/(2|J|), the same in every rotation. Off-diagonal: |J₁₂ − J₂₁|/√(J₁₂² + J₂₁²), what the paper "
        + "prints, 0 where both are within the error. Smallest eigenvalue: of the symmetric part in units of |J|, over all trials. A trial "
        + "is not optimal where asymmetry or a negative eigenvalue exceeds the bound of the error.")
    page.table(lines(table))
    page.paragraph(words(table))
    for panel in picture.panels {
      page.heading("What the flow does: \(panel.data.rawValue)")
      page.plane(panel.ways, caption: "Ways of x/α from σ/α = 0.999 on, of 32 starts; black: the data.")
      page.plane(
        panel.grid,
        caption:
          "A square grid on [−2, 2]² carried to σ/α = \(significant(Table3.Picture.ratio, 2)), and small circles with it: the "
          + "ellipses are those of J, blue where it is symmetric, red from \(fixed(Table3.Picture.red, 0)) % of the full "
          + "index on (largest: \(fixed(panel.largest, 2)) %). Solid: the long axis; dashed: the direction it came from. An "
          + "optimal map turns nothing, so the two are one line.")
    }
    page.heading("All numbers")
    page.table(self.table(table.rows))
    page.paragraph("\(fixed(seconds, 0)) seconds.")
    return page
  }

  // MARK: The paper's protocol

  static func lines(_ paper: Table3.Paper) -> [[String]] {
    [
      [
        "data, schedule", "steps", "sign", "precision", "off-diagonal, %", "100 trials", "paper, %", "apart",
        "full, %", "0/0",
      ]
    ]
      + paper.rows.map {
        [
          "\($0.data.rawValue), \($0.schedule.rawValue)", "\($0.steps)", $0.sign.rawValue, $0.precision,
          fixed($0.offDiagonal, error: $0.offDiagonalError, 2), "± \(fixed($0.spreadOfHundred, 2))",
          $0.paper.map { fixed($0, 2) } ?? "", $0.paperDeviation.map { fixed($0, 2) } ?? "",
          significant($0.full, 3), "\(fixed(100 * $0.undefinedShare, 1)) %",
        ]
      }
  }

  /// Every number, a line each.
  static func table(_ rows: [Table3.Paper.Row]) -> [[String]] {
    [
      [
        "data", "schedule", "steps", "sign", "precision", "trials", "off_diagonal", "off_diagonal_error",
        "spread_of_hundred", "full", "full_error", "undefined_share", "paper", "paper_deviation",
      ]
    ]
      + rows.map {
        [
          $0.data.rawValue, $0.schedule.rawValue, "\($0.steps)", $0.sign.rawValue, $0.precision,
          "\($0.trials)",
        ]
          + [
            $0.offDiagonal, $0.offDiagonalError, $0.spreadOfHundred, $0.full, $0.fullError, $0.undefinedShare,
          ].map { significant($0, 6) }
          + [$0.paper.map { fixed($0, 2) } ?? "", $0.paperDeviation.map { significant($0, 6) } ?? ""]
      }
  }

  static func words(_ paper: Table3.Paper) -> String {
    let steps = paper.setup.steps.last ?? 0
    let fits = paper.rows.filter {
      $0.data == .nonAffine && $0.sign == .script && $0.precision == ElementType.float64.rawValue && $0.steps == steps
    }.compactMap { row in row.paperDeviation.map { "\(row.schedule.rawValue) \(fixed($0, 1))" } }
    return
      "With \(steps) steps and the script's sign the printed numbers are \(fits.joined(separator: ", ")) standard deviations of a mean of "
      + "a hundred trials from ours."
  }

  static func page(_ paper: Table3.Paper, _ seconds: Double) -> HTMLPage {
    var page = HTMLPage("Table 3: how the printed numbers arise")
    page.paragraph(
      "The protocol of the authors' script: x_T ~ N(0, I) under every schedule, explicit Euler steps for the matrix and DDIM for "
        + "the point on Stable Diffusion's thousand times, \(paper.setup.trials) trials. Script: the sign of its g-terms; derived: that of "
        + "corollary 1. Off-diagonal: the mean index ± its standard error, then the standard deviation of a mean of a hundred "
        + "trials and how many of these the printed number is apart. 0/0: trials whose matrix has nothing beside its diagonal."
    )
    page.table(lines(paper))
    page.paragraph(words(paper))
    for sign in Table3.Paper.Sign.allCases where paper.setup.steps.count > 1 {
      page.chart(
        LineChart(
          horizontal: "steps, decimal logarithm", vertical: "off-diagonal index, %",
          lines: Table3.Paper.Coefficients.allCases.map { schedule in
            let own = paper.rows.filter {
              $0.data == .nonAffine && $0.schedule == schedule && $0.sign == sign
                && $0.precision == ElementType.float64.rawValue
            }
            return LineChart.Line(
              name: schedule.rawValue, points: own.map { (x: .log10(Double($0.steps)), y: $0.offDiagonal) })
          }), caption: "Three points on no line, the sign \(sign == .script ? "of the script" : "as derived").")
    }
    page.heading("All numbers")
    page.table(table(paper.rows))
    page.paragraph("\(fixed(seconds, 0)) seconds.")
    return page
  }
}
