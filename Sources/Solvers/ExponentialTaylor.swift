import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// DPM-Solver as it is derived: the Taylor series of the predicted quantity along the flow, integrated exactly.
///
///     x_s = (scale_s/scale_t) x_t + gain_s Σ_{k<n} h^{k+1} φₖ₊₁(−h) q^(k),   q^(k) = (∂_μ + dx/dμ · ∇)ᵏ q
///
/// Derivatives along `x` are exact; those along time, which denoisers take as a number, are central differences. It is
/// a measure for methods that estimate the derivatives from few evaluations, and no rival of theirs.
///
/// - Order: `n`. Four evaluations per derivative, one of them of the Jacobian's product with the velocity.
///
/// Source: Lu et al. 2022, arXiv:2206.00927, eq. 3.6.
public struct ExponentialTaylor: Solver {
  public let frame: Frame
  /// `n`, from 1 to 3.
  public let order: Int
  /// Half the width of a central difference in `μ`: a third of the digits are lost to it, and a third to rounding.
  private static let width = 1e-4

  public init(_ frame: Frame, order: Int) {
    guard (1...3).contains(order) else { fatalError("ExponentialTaylor(order: \(order)): the order is 1, 2 or 3") }
    (self.frame, self.order) = (frame, order)
  }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout NoMemory
  ) -> Tensor {
    let step = FrameStep(frame, on: field.schedule, from: t, to: s)
    guard step.isRegular else { return step.ddim(x, field.denoise(x, at: t)) }
    var derivatives = [quantity(x, step.now, field)]
    if order > 1 { derivatives.append(derivative(x, step.now, field)) }
    if order > 2 { derivatives.append(secondDerivative(x, step.now, field)) }
    var (power, terms) = (1.0, [(frame.scale(step.next) / frame.scale(step.now), x)])
    for (k, value) in derivatives.enumerated() {
      terms.append((power * step.moment(k + 1), value))
      power *= step.h
    }
    return .combination(terms.map { (coefficient: $0.0, tensor: $0.1) })
  }

  /// `q`.
  private func quantity(_ x: Tensor, _ kernel: PerturbationKernel, _ field: any Denoiser) -> Tensor {
    let node = frame.node(x, field.denoise(x, at: kernel.time), at: kernel)
    return node.unit == 1 ? node.quantity : node.quantity / node.unit
  }

  /// `dx/dμ = (d log scale/dμ) x + gain q`.
  private func velocity(_ x: Tensor, _ quantity: Tensor, _ kernel: PerturbationKernel) -> Tensor {
    let rate =
      frame == .data
      ? -kernel.sigmaRate / (kernel.sigma * kernel.logRatioRate)
      : kernel.alphaRate / (kernel.alpha * kernel.logRatioRate)
    return .combination([(rate, x), (frame.gain(kernel), quantity)])
  }

  /// `q^(1)`.
  private func derivative(_ x: Tensor, _ kernel: PerturbationKernel, _ field: any Denoiser) -> Tensor {
    let along = jvp(at: x, along: velocity(x, quantity(x, kernel, field), kernel)) { quantity($0, kernel, field) }
    let (before, after) = (moved(kernel, -Self.width, field), moved(kernel, Self.width, field))
    let change = quantity(x, after, field) - quantity(x, before, field)
    return along.derivative + change / (frame.clock(after) - frame.clock(before))
  }

  /// `q^(2)`, the derivative of `q^(1)` along the flow's tangent.
  private func secondDerivative(_ x: Tensor, _ kernel: PerturbationKernel, _ field: any Denoiser) -> Tensor {
    let tangent = velocity(x, quantity(x, kernel, field), kernel)
    // Wider, for the derivatives at its ends are differences themselves.
    let width = 10 * Self.width
    let ends = [-width, width].map { moved(kernel, $0, field) }
    let values = ends.map { end in
      derivative(x + (frame.clock(end) - frame.clock(kernel)) * tangent, end, field)
    }
    return (values[1] - values[0]) / (frame.clock(ends[1]) - frame.clock(ends[0]))
  }

  /// The kernel a little later in `μ`.
  private func moved(_ kernel: PerturbationKernel, _ change: Double, _ field: any Denoiser) -> PerturbationKernel {
    let lambda = kernel.halfLogSNR + (frame == .data ? change : -change)
    return field.schedule.kernel(at: field.schedule.time(atHalfLogSNR: lambda))
  }
}
