import RealModule
import ScorefieldTensorCore

/// The average whose weights grow with a power of time: as long, always, as the same share of training.
///
///     θ̄(t) = ∫₀ᵗ p(τ) θ(τ) dτ,   p(τ) = (γ + 1) τ^γ / t^(γ+1)
///     β(n) = (1 − 1/n)^(γ+1)
///
/// The width of `p`, its standard deviation as a share of `t`, names the average:
///
///     σ_rel = √(γ + 1) / ((γ + 2) √(γ + 3))
///
/// Averages of other widths follow from snapshots afterwards: ``synthesize(relativeWidth:at:from:)``.
///
/// Source: Karras et al. 2024, arXiv:2312.02696, section 3.1 and appendix C.
public struct PowerLawEMA: WeightAverage {
  public var average: [Tensor]
  /// `γ`.
  public let exponent: Double

  /// - Parameters:
  ///   - parameters: The parameters before the first step; only their shapes count.
  ///   - relativeWidth: `σ_rel`, above 0 and at most `1/√12`.
  public init(of parameters: [Tensor], relativeWidth: Double) {
    self.init(average: parameters, exponent: Self.exponent(relativeWidth: relativeWidth))
  }

  private init(average: [Tensor], exponent: Double) { (self.average, self.exponent) = (average, exponent) }

  public func decay(at step: Int) -> Double { .pow(1 - 1 / Double(step), exponent + 1) }

  /// `σ_rel` of an exponent `γ ≥ 0`: the standard deviation of a Beta(γ + 1, 1) distribution.
  public static func relativeWidth(exponent: Double) -> Double {
    ((exponent + 1) / (exponent + 3)).squareRoot() / (exponent + 2)
  }

  /// `γ ≥ 0` of a `σ_rel`, the largest root of `(γ + 2)² (γ + 3) σ² = γ + 1`.
  public static func exponent(relativeWidth: Double) -> Double {
    // 1/√12 may be rounded up.
    guard relativeWidth > 0, relativeWidth <= relativeWidthOfUniform * (1 + 1e-12) else {
      fatalError("PowerLawEMA(relativeWidth: \(relativeWidth)): above 0 and at most \(relativeWidthOfUniform)")
    }
    // Newton's method on the cubic, from 1/σ, which is right of every root: the steps only go left.
    let s = 1 / (relativeWidth * relativeWidth)
    var exponent = 1 / relativeWidth
    while true {
      let value = ((exponent + 7) * exponent + (16 - s)) * exponent + (12 - s)
      let slope = (3 * exponent + 14) * exponent + (16 - s)
      let next = exponent - value / slope
      guard next < exponent else { return max(exponent, 0) }
      exponent = next
    }
  }

  /// `1/√12`, where `γ = 0` and all of training weighs the same.
  public static let relativeWidthOfUniform = relativeWidth(exponent: 0)

  /// An average as it was after a step.
  public struct Snapshot: Sendable {
    /// Counted from 1.
    public var step: Int
    /// `γ`.
    public var exponent: Double
    public var average: [Tensor]

    public init(step: Int, exponent: Double, average: [Tensor]) {
      (self.step, self.exponent, self.average) = (step, exponent, average)
    }
  }

  /// The average with another width, at best: the combination of snapshots whose profile is closest to the wanted one in
  /// the mean square over time.
  ///
  /// - Cost: one pass over every snapshot.
  /// - Parameters:
  ///   - relativeWidth: `σ_rel`, above 0 and at most `1/√12`.
  ///   - step: The step at which the average would stand.
  ///   - snapshots: Averages of one training, no two with the same step and width.
  /// - Returns: The parameters.
  ///
  /// Source: Karras et al. 2024, arXiv:2312.02696, appendix C.
  public static func synthesize(relativeWidth: Double, at step: Int, from snapshots: [Snapshot]) -> [Tensor] {
    let weights = weights(relativeWidth: relativeWidth, at: step, from: snapshots)
    guard let first = snapshots.first else { return [] }
    return first.average.indices.map { index in
      zip(snapshots, weights).dropFirst().reduce(weights[0] * first.average[index]) { sum, part in
        sum + part.1 * part.0.average[index]
      }
    }
  }

  /// How much of each snapshot ``synthesize(relativeWidth:at:from:)`` takes.
  static func weights(relativeWidth: Double, at step: Int, from snapshots: [Snapshot]) -> [Double] {
    guard !snapshots.isEmpty, step > 0, snapshots.allSatisfy({ $0.step > 0 }) else {
      fatalError("synthesize(at: \(step), from: \(snapshots.count) snapshots): needs some, and steps from 1")
    }
    let profiles = snapshots.map { Profile(end: Double($0.step), exponent: $0.exponent) }
    let wanted = Profile(end: Double(step), exponent: exponent(relativeWidth: relativeWidth))
    let products = Tensor(rows: profiles.map { a in profiles.map { a.product($0) } })
    return products.solve(Tensor(profiles.map { $0.product(wanted) })).doubles
  }

  /// `p`, the weight of the parameters at a time in an average that ends at another.
  struct Profile {
    let end, exponent: Double

    /// `∫ p q dτ` over all times.
    func product(_ other: Profile) -> Double {
      let (a, b) = end <= other.end ? (self, other) : (other, self)
      let shape = (a.exponent + 1) * (b.exponent + 1) / (a.exponent + b.exponent + 1)
      return shape * .pow(a.end / b.end, b.exponent) / b.end
    }
  }
}
