import RealModule
import ScorefieldTensorCore

/// How the size of a step follows from the error of the last ones: a proportional–integral controller, or a plain one.
///
///     e = ‖error / (atol + rtol max(|x|, |x′|))‖,   h′ = h · safety · e^{−0.7/k} · e₋^{0.4/k},   k = q + 1
///     e = ‖error / max(atol, rtol max(|x′|, |x₋|))‖,  h′ = h · safety · e^{−1/k}                 ``dpmSolver(rtol:atol:)``
///
/// A step is taken where `e ≤ 1`. The norm is taken over the elements of each sample, and the largest of the batch
/// counts: every sample keeps the tolerance, whoever shares its batch.
///
/// Source: Gustafsson 1991, doi:10.1145/210232.210242; Hairer, Nørsett & Wanner 1993, II.4 and Hairer & Wanner 1996, IV.2.
public struct StepController: Sendable, Equatable {
  /// The norm over the elements of one sample.
  public enum Norm: Sendable, Equatable {
    /// The root of the mean square.
    case rootMeanSquare
    /// The largest magnitude: every element keeps the tolerance.
    case maximum
  }

  /// What the next step follows from.
  public enum Rule: Sendable, Equatable {
    /// The last two errors.
    case proportionalIntegral
    /// The last error alone, in units of the larger of two tolerances beside the less accurate states, as published for
    /// DPM-Solver.
    case proportional
  }

  public var rule = Rule.proportionalIntegral
  /// Tolerances of one step's error, relative to the state and absolute.
  public var rtol, atol: Double
  public var norm: Norm
  /// The fraction of the step that would just be accepted.
  public var safety: Double
  /// The bounds of `h′/h`.
  public var factors: ClosedRange<Double>
  /// The first step as a fraction of the whole way.
  public var firstStep: Double
  /// The first step itself, in place of a fraction.
  public var firstLength: Double?
  /// The most steps that are tried, taken or not.
  public var stepLimit: Int

  public init(
    rtol: Double = 1e-5, atol: Double = 1e-5, norm: Norm = .rootMeanSquare, safety: Double = 0.9,
    factors: ClosedRange<Double> = 0.2...5, firstStep: Double = 0.02, stepLimit: Int = 10_000
  ) {
    guard rtol >= 0, atol >= 0, rtol + atol > 0, safety > 0, safety < 1, factors.lowerBound > 0, factors.lowerBound < 1,
      factors.upperBound > 1, firstStep > 0, firstStep <= 1, stepLimit >= 0
    else {
      fatalError(
        "StepController(rtol: \(rtol), atol: \(atol), safety: \(safety), factors: \(factors), firstStep: \(firstStep), "
          + "stepLimit: \(stepLimit)): tolerances must not both be 0, safety and firstStep lie in (0, 1], factors around 1"
      )
    }
    (self.rtol, self.atol, self.norm, self.safety) = (rtol, atol, norm, safety)
    (self.factors, self.firstStep, self.stepLimit) = (factors, firstStep, stepLimit)
  }

  /// The controller of adaptive DPM-Solver, for steps in `λ`: its first is 0.05 long.
  ///
  /// - Parameters:
  ///   - rtol: The tolerance beside the state.
  ///   - atol: The absolute one; the standard value is 2/256, a grey level of images in [−1, 1].
  /// - Returns: The controller, of the standard values that are published.
  ///
  /// Source: Lu et al. 2022, arXiv:2206.00927, appendix C and algorithm 3.
  public static func dpmSolver(rtol: Double = 0.05, atol: Double = 0.0078) -> Self {
    var controller = Self(rtol: rtol, atol: atol, safety: 0.9, factors: 0.01...(.infinity))
    controller.rule = .proportional
    controller.firstLength = 0.05
    return controller
  }

  /// The size of an error in units of the tolerance; not a number where a state is none.
  func size(of error: Tensor, from x: Tensor, to next: Tensor) -> Double {
    guard error.count > 0 else { return 0 }
    let scale = rtol * Tensor.maximum(x.abs(), next.abs())
    let ratios = error / (rule == .proportional ? scale.clamped(atol) : atol + scale)
    let rows = ratios.flattened
    switch norm {
    case .rootMeanSquare: return rows.squared().mean(-1).max().item.squareRoot()
    case .maximum: return rows.abs().max().item
    }
  }

  /// What the size of a step is multiplied by.
  ///
  /// - Parameters:
  ///   - error: `e`, in units of the tolerance; not a number where the step led nowhere.
  ///   - previous: `e₋` of the step before it, where that was taken.
  ///   - k: The order of the error estimate, one more than that of the less accurate solution.
  /// - Returns: `h′/h`; at most 1 where the step was refused.
  public func factor(after error: Double, previous: Double?, order k: Int) -> Double {
    guard error.isFinite else { return factors.lowerBound }
    let gain = 1 / Double(k)
    // A step that failed says nothing about the trend.
    let proposal =
      error <= 1 && rule == .proportionalIntegral
      ? safety * .pow(max(error, 1e-10), -0.7 * gain) * .pow(max(previous ?? 1, 1e-10), 0.4 * gain)
      : safety * .pow(error, -gain)
    return min(max(proposal, factors.lowerBound), error <= 1 ? factors.upperBound : 1)
  }
}
