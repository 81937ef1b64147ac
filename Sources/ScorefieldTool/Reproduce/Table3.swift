import RealModule
import Scorefield

/// Table 3 of "Efficiently Access Diffusion Fisher": how far the probability flow's map is from an optimal transport.
///
/// The data are a point, points on a line and points that are on none. Jacobians of the map come from adaptive integration in `x/α` and
/// `log(σ/α)`, with their error beside them; every trial is a start `x_T ~ N(0, I)`, as in the paper. `Paper` is the protocol the
/// printed numbers come from.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, table 3 and appendix B.3.
struct Table3 {
  /// How the numbers are had.
  enum Way: String, Encodable { case converged, paper }

  /// The points of the data.
  enum DataSet: String, Encodable, CaseIterable {
    case single, affine
    case affineRotated = "affine-rotated"
    /// The points on a line of the authors' script, which is an axis.
    case axis = "affine-on-axis"
    case nonAffine = "non-affine"
    case nonAffineRotated = "non-affine-rotated"

    private var isRotated: Bool { self == .affineRotated || self == .nonAffineRotated }

    var points: [[Double]] {
      let points: [[Double]] =
        switch self {
        case .single: [[0.5, 0.5]]
        case .affine, .affineRotated: [[0.2, -0.4], [0.2, 0], [0.2, 0.9]]
        case .axis: [[0, 0], [0, 0.5], [0, -0.6]]
        case .nonAffine, .nonAffineRotated: [[0, 0.5], [0, 0], [0.5, 0]]
        }
      return points.map {
        let point = turned(Plane($0[0], $0[1]))
        return [point.x, point.y]
      }
    }

    /// By 45 degrees where the data are: starts turn with them, so that what does not depend on axes stays as it is.
    func turned(_ point: Plane<Double>) -> Plane<Double> {
      let half = 0.5.squareRoot()
      return isRotated ? Plane(half * (point.x - point.y), half * (point.x + point.y)) : point
    }

    /// The asymmetry the paper prints, in percent.
    func printed(_ schedule: String) -> Double? {
      switch self {
      case .single, .affine: ["VE", "VP", "sub-VP", "EDM"].contains(schedule) ? 0 : nil
      case .nonAffine: ["VE": 25.28, "VP": 23.36, "sub-VP": 13.84, "EDM": 27.09][schedule]
      case .affineRotated, .axis, .nonAffineRotated: nil
      }
    }
  }

  /// The paths, between the noise-to-signal ratios the script has at its ends.
  enum Path: String, Encodable, CaseIterable {
    case ve = "VE"
    case vp = "VP"
    case subVP = "sub-VP"
    case edm = "EDM"

    // The rates of a schedule do not matter, its ratios do; the usual rate of VP would not reach the last one.
    var schedule: any NoiseSchedule {
      switch self {
      case .ve: VarianceExploding()
      case .vp: VariancePreserving(betaMin: 0.05, betaMax: 20)
      case .subVP: SubVariancePreserving()
      case .edm: EDMSchedule()
      }
    }

    /// `σ/α` of the start.
    var ratio: Double {
      // α² of Stable Diffusion's last step.
      let kept = 0.004660098513077238
      switch self {
      case .ve, .edm: return 0.999
      case .vp: return ((1 - kept) / kept).squareRoot()
      case .subVP: return (1 - kept) / kept.squareRoot()
      }
    }
  }

  struct Setup: Encodable {
    let name = Way.converged
    let seed: UInt64
    let trials: Int
    let start = "x_T ~ N(0, I)"
    let startRatios: [String: Double]
    let endRatio: Double
    let rtol: Double
    let isQuick: Bool
  }

  struct Row: Encodable {
    let data: DataSet
    let schedule: Path
    let trials: Int
    /// The index the paper prints, in percent, with the standard error of the mean.
    let offDiagonal, offDiagonalError: Double
    /// `|J − Jᵀ|/(2|J|)`, in percent.
    let full, fullError: Double
    let fullMedian, fullLargest: Double
    /// The smallest of all trials, of the symmetric part in units of `|J|`.
    let smallestEigenvalue: Double
    /// Shares of the trials, of one.
    let optimal, notOptimal, undecided: Double
    /// Those with a negative eigenvalue, beyond the error.
    let indefinite: Double
    /// The largest bound of an error of the full index, in percent.
    let largestErrorBound: Double
    let answer: TransportAnswer
    let paper: Double?
  }

  static let endRatio = 1e-3
  static let rtol = 1e-7
  /// One size of step for so many trials.
  private static let batch = 128

  let setup: Setup
  let rows: [Row]
  let evaluations: Int

  init(trials: Int, quick: Bool, seed: UInt64) {
    let rtol = quick ? 1e-5 : Self.rtol
    setup = Setup(
      seed: seed, trials: trials,
      startRatios: .init(uniqueKeysWithValues: Path.allCases.map { ($0.rawValue, $0.ratio) }),
      endRatio: Self.endRatio, rtol: rtol, isQuick: quick)
    let starts = Self.starts(trials, seed: seed)
    let cases = DataSet.allCases.filter { $0 != .axis }.flatMap { data in Path.allCases.map { (data, $0) } }
    let progress = Progress("table3", total: cases.count * trials)
    var (rows, evaluations): ([Row], Int) = ([], 0)
    for (index, (data, path)) in cases.enumerated() {
      var verdicts: [TransportVerdict] = []
      for first in stride(from: 0, to: trials, by: Self.batch) {
        let some = starts[first..<min(first + Self.batch, trials)].map { data.turned($0) }
        verdicts.append(Self.verdict(at: Tensor(rows: some.map { [$0.x, $0.y] }), data.points, path, rtol: rtol))
        progress.show(index * trials + first + some.count, note: "\(data.rawValue), \(path.rawValue)")
      }
      evaluations += verdicts.reduce(0) { $0 + $1.jacobian.evaluations }
      rows.append(Self.row(data, path, verdicts))
    }
    progress.finish()
    (self.rows, self.evaluations) = (rows, evaluations)
  }

  /// Starts `x_T ~ N(0, I)`.
  static func starts(_ count: Int, seed: UInt64) -> [Plane<Double>] {
    var generator = Generator(seed: seed)
    let numbers = Tensor.normal([count, 2], using: &generator).doubles
    return (0..<count).map { Plane(numbers[2 * $0], numbers[2 * $0 + 1]) }
  }

  /// What the map of a path makes of starts, `[B, 2]`.
  static func verdict(
    at starts: Tensor, _ points: [[Double]], _ path: Path, to ratio: Double = endRatio, rtol: Double = rtol
  ) -> TransportVerdict {
    let field = EmpiricalDenoiser(data: Tensor(rows: points), on: path.schedule)
    func time(_ ratio: Double) -> Double { path.schedule.time(atHalfLogSNR: -.log(ratio)) }
    return transportVerdict(
      at: starts, under: field, fisher: ExactFisher(field), from: time(path.ratio), to: time(ratio),
      accuracy: FlowAccuracy(rtol: rtol))
  }

  private static func row(_ data: DataSet, _ path: Path, _ verdicts: [TransportVerdict]) -> Row {
    func all(_ part: (TransportVerdict) -> Tensor) -> [Double] { verdicts.flatMap { part($0).doubles } }
    let (off, full) = (all { 100 * $0.offDiagonalIndex }, all { 100 * $0.asymmetry })
    let eigenvalues = all { $0.smallestEigenvalue / $0.jacobian.matrix.norm(-2, -1) }
    let bounds = all(\.errorBound)
    let answers = verdicts.flatMap(\.answers)
    func share(_ answer: TransportAnswer) -> Double {
      Double(answers.count { $0 == answer }) / Double(answers.count)
    }
    let indefinite = zip(eigenvalues, bounds).count { $0 < -$1 }
    return Row(
      data: data, schedule: path, trials: off.count, offDiagonal: Statistics.mean(off),
      offDiagonalError: Statistics.standardError(off), full: Statistics.mean(full),
      fullError: Statistics.standardError(full), fullMedian: full.sorted()[full.count / 2],
      fullLargest: full.max() ?? .nan, smallestEigenvalue: eigenvalues.min() ?? .nan, optimal: share(.optimal),
      notOptimal: share(.notOptimal), undecided: share(.undecided), indefinite: Double(indefinite) / Double(off.count),
      largestErrorBound: 100 * (bounds.max() ?? .nan),
      answer: answers.contains(.notOptimal) ? .notOptimal : answers.contains(.undecided) ? .undecided : .optimal,
      paper: data.printed(path.rawValue))
  }
}
