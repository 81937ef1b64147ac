import RealModule
import ScorefieldArrays

/// Noise levels that are spread anew between the first and the last.
enum SigmaSpacing: Sendable {
  /// Evenly in `σ^(1/ρ)`: Karras et al. 2022, arXiv:2206.00364, eq. 5.
  case karras(rho: Double)
  /// Evenly in `log σ`.
  case exponential
  /// At the quantiles of the distribution `Beta(0.6, 0.6)`: Lee et al. 2024, arXiv:2407.12173, section 4.
  case beta

  /// What a file asks for, with its own first and last levels.
  struct Choice: Sendable {
    let spacing: SigmaSpacing?
    let smallest, largest: Double?

    /// The choice of a file; diffusers' classes look at `sigma_min` and `sigma_max` only where they know them.
    init(_ file: inout SchedulerFile, knowsEnds: Bool = false) throws(ArrayFileError) {
      let choices: [(key: String, spacing: SigmaSpacing)] = [
        ("use_karras_sigmas", .karras(rho: 7)), ("use_exponential_sigmas", .exponential), ("use_beta_sigmas", .beta),
      ]
      var chosen: (key: String, spacing: SigmaSpacing)?
      for choice in choices where try file.flag(choice.key, false) {
        if let chosen {
          throw file.refusal(
            choice.key, "stands beside \(ArrayFileError.quote(chosen.key))", repair: "keep one of them")
        }
        chosen = choice
      }
      spacing = chosen?.spacing
      smallest = knowsEnds ? try file.optionalNumber("sigma_min", in: 1e-9...1e9) : nil
      largest = knowsEnds ? try file.optionalNumber("sigma_max", in: 1e-9...1e9) : nil
    }

    /// Levels as they are.
    static let asTheyAre = Choice()

    private init() { (spacing, smallest, largest) = (nil, nil, nil) }

    /// Whether they are Karras's.
    var isKarras: Bool { if case .karras = spacing { true } else { false } }

    /// The levels, or nil where they stay as they are.
    func levels(_ count: Int, from first: Double, to last: Double) -> [Double]? {
      spacing?.levels(count, from: largest ?? first, to: smallest ?? last)
    }
  }

  /// Levels from the largest to the smallest.
  func levels(_ count: Int, from largest: Double, to smallest: Double) -> [Double] {
    switch self {
    case .karras(let rho):
      let (first, last) = (Double.pow(largest, 1 / rho), Double.pow(smallest, 1 / rho))
      return evenly(from: 0, to: 1, count).map { .pow(first + $0 * (last - first), rho) }
    case .exponential:
      return evenly(from: .log(largest), to: .log(smallest), count).map { .exp($0) }
    case .beta:
      return evenly(from: 0, to: 1, count).map { smallest + Self.betaQuantile(1 - $0) * (largest - smallest) }
    }
  }

  /// The `x` below which `Beta(0.6, 0.6)` has a mass, by bisection.
  static func betaQuantile(_ mass: Double) -> Double {
    guard mass > 0, mass < 1 else { return mass }
    // It is symmetric; near 0 its digits are kept.
    if mass > 0.5 { return 1 - betaQuantile(1 - mass) }
    var (low, high) = (0.0, 0.5)
    while true {
      let middle = low > 0 && high / low > 2 ? (low * high).squareRoot() : (low + high) / 2
      guard low < middle, middle < high, high > 1e-300 else { return middle }
      if betaMass(below: middle) < mass { low = middle } else { high = middle }
    }
  }

  /// `∫₀ˣ (u (1 − u))^{a−1} du / B(a, a)`, `a = 0.6` and `x ≤ ½`, by the series in `x`.
  private static func betaMass(below x: Double) -> Double {
    let a = 0.6
    var (term, sum, n) = (1.0, 1 / a, 0.0)
    repeat {
      n += 1
      term *= (n - a) / n * x
      sum += term / (a + n)
    } while term > 1e-18 * sum
    return sum * .exp(a * .log(x) - (2 * Double.logGamma(a) - .logGamma(2 * a)))
  }
}
