import ScorefieldFields
import ScorefieldTensorCore

/// Heun's method in `λ` whose linear part is solved exactly, as if its rate were constant over the step.
///
///     E = log(scale_s/scale_t),   x̃ = e^E x + h φ₁(E) N_t,   x_s = x̃ + h φ₂(E) (N_s − N_t),   N = gain · q
///
/// It agrees with DPM-Solver-2 to third order per step, and is not the same.
///
/// - Order: 2. Two denoiser evaluations per step.
///
/// Source: Hochbruck & Ostermann 2005, doi:10.1137/040611434, eq. 5.3 with `c₂ = 1`.
public struct ExponentialHeun: Solver {
  public let frame: Frame

  public init(_ frame: Frame) { self.frame = frame }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout NoMemory
  ) -> Tensor {
    let step = FrameStep(frame, on: field.schedule, from: t, to: s)
    let data = field.denoise(x, at: t)
    guard step.isRegular else { return step.ddim(x, data) }
    let exponent = -Double.log(frame.scale(step.now) / frame.scale(step.next))
    // N may be written with either sign of h: in the frame of the noise both are negative.
    func weight(_ k: Int, _ node: FrameNode) -> Double { step.h * phi(k, exponent) * frame.gain(node.kernel) }
    let first = frame.node(x, data, at: step.now)
    let middle = step.state(x, [weight(1, first)], [first])
    let second = frame.node(middle, field.denoise(middle, at: s), at: step.next)
    return step.state(x, [weight(1, first) - weight(2, first), weight(2, second)], [first, second])
  }
}

extension Solver where Self == ExponentialHeun {
  /// The exponential Heun method of the noise.
  public static var exponentialHeun: Self { Self(.noise) }
}
