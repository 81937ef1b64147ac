import ScorefieldArrays
import ScorefieldFields
import ScorefieldFisher
import ScorefieldSolvers
import ScorefieldTensorCore

/// How closely a flow is integrated; everything is done twice, and the answer's error is bounded by how much it still changed.
///
/// The second run, whose answer is given, keeps a tolerance 32 times as small. With a method of order five its steps are half as
/// long and its error is a sixteenth or less of the first one's, which the change measures.
public struct FlowAccuracy: Sendable, Equatable {
  /// The tolerances of the first run, relative to each coordinate and absolute.
  public var rtol, atol: Double
  /// The most steps each run may try.
  public var stepLimit: Int

  /// Tolerances of one's own; the absolute one is a thousandth of the relative one where left out.
  public init(rtol: Double, atol: Double? = nil, stepLimit: Int = 10_000) {
    guard rtol > 0, atol.map({ $0 >= 0 }) ?? true, stepLimit >= 0 else {
      fatalError("FlowAccuracy(rtol: \(rtol), atol: \(atol.map { "\($0)" } ?? "rtol/1000")): must be positive")
    }
    (self.rtol, self.atol, self.stepLimit) = (rtol, atol ?? rtol / 1000, stepLimit)
  }

  /// What the element type of a field supports: 10⁻⁷ in `float64`, 10⁻⁴ else.
  public static func standard(for type: ElementType) -> FlowAccuracy {
    FlowAccuracy(rtol: type == .float64 ? 1e-7 : 1e-4)
  }

  private static let refinement = 32.0

  /// A state at another `κ`, and how much it changed from the first run to the second.
  struct Twofold {
    let state, change: Tensor
    /// Where the runs ended; the target where both settled.
    let time: Double
    let evaluations: Int
    let outcome: Outcome
  }

  func integrate(_ start: Tensor, from: Double, to: Double, in field: some VelocityField) -> Twofold {
    func run(_ refinement: Double) -> Integration {
      ScorefieldSolvers.integrate(
        start, from: from, to: to, with: .dormandPrince,
        controller: StepController(
          rtol: rtol / refinement, atol: atol / refinement, norm: .maximum, stepLimit: stepLimit),
        in: field)
    }
    let first = run(1)
    guard first.outcome == .converged else {
      return Twofold(
        state: first.state, change: .full(first.state.shape, .infinity, on: start.device), time: first.time,
        evaluations: first.statistics.evaluations, outcome: first.outcome)
    }
    let second = run(Self.refinement)
    return Twofold(
      state: second.state, change: second.state - first.state, time: second.time,
      evaluations: first.statistics.evaluations + second.statistics.evaluations, outcome: second.outcome)
  }
}

extension ElementType {
  /// What roundings of a field leave of an answer, relative to it, whatever the tolerance.
  var flowRoundoff: Double { 64 * roundoff }
}
