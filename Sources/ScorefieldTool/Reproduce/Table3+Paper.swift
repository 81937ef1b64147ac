import RealModule
import Scorefield

extension Table3 {
  /// The protocol behind the numbers Table 3 prints, as the authors' script has it.
  ///
  ///     A ← A + Δt (f I ± ½ g² F(x, t)) A,   x ← DDIM,   t = 999 … 0 of Stable Diffusion's thousand,   Δt = −(t − t′)/1000
  ///
  /// Explicit Euler steps with coefficients of the node that is left, `x_T ~ N(0, I)` under every schedule, the step beyond the last node left
  /// out. The script has the minus where the plus is derived, and a sub-VP with the noise of VP and two constants of its `g` exchanged.
  ///
  /// Source: the script of Wang et al. 2025, arXiv:2505.23264, by what it computes.
  struct Paper {
    /// What the script calls a schedule.
    enum Coefficients: String, Encodable, CaseIterable {
      case ve = "VE"
      case vp = "VP"
      case subVP = "sub-VP"
      case edm = "EDM"
      case consistentSubVP = "sub-VP, consistent"
    }

    enum Sign: String, Encodable, CaseIterable {
      case script, derived
      fileprivate var value: Double { self == .script ? -1 : 1 }
    }

    struct Setup: Encodable {
      let name = Way.paper
      let seed: UInt64
      let trials: Int
      let steps: [Int]
      let start = "x_T ~ N(0, I)"
      let isQuick: Bool
    }

    struct Row: Encodable {
      let data: DataSet
      let schedule: Coefficients
      let steps: Int
      let sign: Sign
      let precision: String
      let trials: Int
      /// In percent, with the standard error of the mean.
      let offDiagonal, offDiagonalError: Double
      /// The standard deviation of the mean of a hundred trials.
      let spreadOfHundred: Double
      let full, fullError: Double
      /// Trials in which the index is 0/0, a share of one.
      let undefinedShare: Double
      let paper: Double?
      /// From our mean to the printed number, in standard deviations of the mean of a hundred trials.
      let paperDeviation: Double?
    }

    static let steps = [20, 50, 100, 250, 500, 1000]
    /// Enough for the mean to stand, and what other data are looked at with.
    static let settledSteps = 250

    let setup: Setup
    let rows: [Row]
    /// Of the field, each for all trials at once.
    var evaluations: Int { rows.filter { $0.sign == .script }.reduce(0) { $0 + $1.steps - 1 } }

    init(trials: Int, steps: Int?, quick: Bool, seed: UInt64) {
      let counts = steps.map { [$0] } ?? (quick ? [20, 250] : Self.steps)
      setup = Setup(seed: seed, trials: trials, steps: counts, isQuick: quick)
      let starts = Table3.starts(trials, seed: seed)
      let others = DataSet.allCases.map { ($0, Coefficients.allCases.dropLast()) }
      let progress = Progress("table3", total: Coefficients.allCases.count * counts.count + 4 * others.count)
      var (rows, done): ([Row], Int) = ([], 0)
      for schedule in Coefficients.allCases {
        for count in counts {
          rows += Self.rows(.nonAffine, schedule, count, starts, Double.self, signs: Sign.allCases)
          done += 1
          progress.show(done, note: "\(schedule.rawValue), \(count) steps")
        }
      }
      // The script's own numbers have single precision.
      for (data, schedules) in others {
        for schedule in schedules {
          rows += Self.rows(data, schedule, steps ?? Self.settledSteps, starts, Float.self, signs: [.script])
          done += 1
          progress.show(done, note: data.rawValue)
        }
      }
      progress.finish()
      self.rows = rows
    }

    private static func rows<S: Real & BinaryFloatingPoint & SendableMetatype>(
      _ data: DataSet, _ schedule: Coefficients, _ steps: Int, _ starts: [Plane<Double>], _ type: S.Type, signs: [Sign]
    ) -> [Row] {
      let nodes = nodes(of: schedule, steps: steps).map(Node<S>.init)
      let points = data.points.map { Plane(S($0[0]), S($0[1])) }
      let turned = starts.map { data.turned($0) }
      let matrices = turned.map { jacobians(at: Plane(S($0.x), S($0.y)), points, nodes) }
      let printed = data.printed(schedule.rawValue)
      return signs.map { sign in
        let own = matrices.map { sign == .script ? $0.script : $0.derived }
        let off = own.map { 100 * Double($0.offDiagonalIndex) }
        let full = own.map { 100 * Double($0.asymmetry) }
        let (mean, error) = (Statistics.mean(off), Statistics.standardError(off))
        let spread = error * (Double(off.count) / 100).squareRoot()
        return Row(
          data: data, schedule: schedule, steps: steps, sign: sign,
          precision: (S.self == Float.self ? ElementType.float32 : .float64).rawValue, trials: starts.count,
          offDiagonal: mean,
          offDiagonalError: error, spreadOfHundred: spread, full: Statistics.mean(full),
          fullError: Statistics.standardError(full),
          undefinedShare: Double(own.count { $0.b == 0 && $0.c == 0 }) / Double(own.count), paper: printed,
          paperDeviation: printed.flatMap { spread > 0 ? ($0 - mean) / spread : nil })
      }
    }
  }
}

// MARK: One trial

/// A point of the plane.
struct Plane<S: Real & BinaryFloatingPoint & SendableMetatype> {
  var x, y: S
  init(_ x: S, _ y: S) { (self.x, self.y) = (x, y) }
}

/// A matrix of two rows, (a, b) and (c, d).
struct PlaneMatrix<S: Real & BinaryFloatingPoint & SendableMetatype> {
  var a: S = 1
  var b: S = 0
  var c: S = 0
  var d: S = 1

  /// `|b − c|/√(b² + c²)`, 0 of a diagonal matrix.
  var offDiagonalIndex: S {
    let size = S.hypot(b, c)
    return size > 0 ? abs(b - c) / size : 0
  }

  /// `|A − Aᵀ|/(2|A|)`, 0 of a zero.
  var asymmetry: S {
    let size = S.hypot(S.hypot(a, d), S.hypot(b, c))
    return size > 0 ? abs(b - c) / (S.sqrt(2) * size) : 0
  }
}

extension Table3.Paper {
  /// The coefficients at a node, and what leads to the next.
  struct Node<S: Real & BinaryFloatingPoint & SendableMetatype> {
    let alpha, sigma, drift, diffusionSquared, step, nextAlpha, nextSigma: S

    init(_ node: Node<Double>) {
      (alpha, sigma, drift) = (S(node.alpha), S(node.sigma), S(node.drift))
      (diffusionSquared, step) = (S(node.diffusionSquared), S(node.step))
      (nextAlpha, nextSigma) = (S(node.nextAlpha), S(node.nextSigma))
    }

    fileprivate init(_ kernel: Kernel, step: S, next: Kernel) where S == Double {
      (alpha, sigma, drift, diffusionSquared) = (kernel.alpha, kernel.sigma, kernel.drift, kernel.diffusionSquared)
      (self.step, nextAlpha, nextSigma) = (step, next.alpha, next.sigma)
    }
  }

  fileprivate typealias Kernel = (alpha: Double, sigma: Double, drift: Double, diffusionSquared: Double)

  /// Stable Diffusion's variances and the products of what they leave.
  private static let (betas, products) = {
    let (first, last) = (0.00085.squareRoot(), 0.012.squareRoot())
    let betas = (0..<1000).map { index in
      let root = first + (last - first) * (Double(index) / 999)
      return root * root
    }
    var product = 1.0
    return (
      betas,
      betas.map { beta in
        product *= 1 - beta
        return product
      }
    )
  }()

  /// The nodes of so many steps; every node but the last is left by a step.
  static func nodes(of schedule: Coefficients, steps: Int) -> [Node<Double>] {
    let spacing = 999 / Double(steps - 1)
    let times = (0..<steps).reversed().map { Int((Double($0) * spacing).rounded(.toNearestOrEven)) }
    return zip(times, times.dropFirst()).map { time, next in
      Node(kernel(schedule, time), step: -Double(time - next) / 1000, next: kernel(schedule, next))
    }
  }

  private static func kernel(_ schedule: Coefficients, _ time: Int) -> Kernel {
    let t = Double(time) / 1000
    let (kept, rate) = (products[time], 1000 * betas[time])
    switch schedule {
    case .ve: return (1, t.squareRoot(), 0, 1)
    case .edm: return (1, t, 0, 2 * t)
    case .vp: return (kept.squareRoot(), (1 - kept).squareRoot(), -rate / 2, rate)
    case .subVP:
      // The rates of the two ends are exchanged, and the noise is that of VP.
      let (first, last) = (1000 * betas[999], 1000 * betas[0])
      let discount = 1 - Double.exp(-2 * first * t - (last - first) * t * t)
      return (kept.squareRoot(), (1 - kept).squareRoot(), -rate / 2, rate * discount)
    case .consistentSubVP: return (kept.squareRoot(), 1 - kept, -rate / 2, rate * (1 - kept * kept))
    }
  }

  /// The matrices of one trial at the last node, with the script's sign and with the derived one.
  static func jacobians<S: Real & BinaryFloatingPoint & SendableMetatype>(
    at start: Plane<S>, _ points: [Plane<S>], _ nodes: [Node<S>]
  ) -> (script: PlaneMatrix<S>, derived: PlaneMatrix<S>) {
    var (x, script, derived) = (start, PlaneMatrix<S>(), PlaneMatrix<S>())
    for node in nodes {
      let precision = 1 / (node.sigma * node.sigma)
      let logits = points.map { point in
        let (h, v) = (x.x - node.alpha * point.x, x.y - node.alpha * point.y)
        return -(h * h + v * v) * precision / 2
      }
      let largest = logits.reduce(-S.infinity) { max($0, $1) }
      var (mass, mean, xx, xy, yy) = (S(0), Plane<S>(0, 0), S(0), S(0), S(0))
      for (logit, point) in zip(logits, points) {
        let weight = S.exp(logit - largest)
        mass += weight
        mean = Plane(mean.x + weight * point.x, mean.y + weight * point.y)
        xx += weight * point.x * point.x
        xy += weight * point.x * point.y
        yy += weight * point.y * point.y
      }
      mean = Plane(mean.x / mass, mean.y / mass)
      // Moments about zero, as the script has them: what they cancel is part of what it prints.
      let scale = node.alpha * node.alpha * precision * precision
      let (fxx, fxy, fyy) = (
        precision - scale * (xx / mass - mean.x * mean.x), -scale * (xy / mass - mean.x * mean.y),
        precision - scale * (yy / mass - mean.y * mean.y)
      )
      func advance(_ matrix: inout PlaneMatrix<S>, _ sign: Sign) {
        let half = S(sign.value) * node.diffusionSquared / 2
        let (p, q, r) = (node.drift + half * fxx, half * fxy, node.drift + half * fyy)
        let m = matrix
        matrix.a += node.step * (p * m.a + q * m.c)
        matrix.b += node.step * (p * m.b + q * m.d)
        matrix.c += node.step * (q * m.a + r * m.c)
        matrix.d += node.step * (q * m.b + r * m.d)
      }
      advance(&script, .script)
      advance(&derived, .derived)
      let ratio = node.nextAlpha / node.alpha
      let shift = (node.nextSigma - node.sigma * ratio) / node.sigma
      x = Plane(
        ratio * x.x + shift * (x.x - node.alpha * mean.x), ratio * x.y + shift * (x.y - node.alpha * mean.y))
    }
    return (script, derived)
  }
}
