import RealModule
import ScorefieldPaths
import ScorefieldTensorCore

/// The coefficients of a step in a frame, which follow from its two times alone.
///
///     x_s = (scale_s/scale_t) x_t + gain_s ∫ e^{μ − μ_s} q dμ,   h = μ_s − μ_t
struct FrameStep {
  let frame: Frame
  let schedule: any NoiseSchedule
  let now, next: PerturbationKernel
  let h: Double

  init(_ frame: Frame, on schedule: any NoiseSchedule, from now: PerturbationKernel, to next: PerturbationKernel) {
    (self.frame, self.schedule, self.now, self.next) = (frame, schedule, now, next)
    h = frame.clock(next) - frame.clock(now)
  }

  init(_ frame: Frame, on schedule: any NoiseSchedule, from t: Double, to s: Double) {
    self.init(frame, on: schedule, from: schedule.kernel(at: t), to: schedule.kernel(at: s))
  }

  /// Whether both ends hold data and noise; elsewhere `μ` is infinite, and only ``ddim(_:_:)`` has a limit.
  var isRegular: Bool { h.isFinite }

  /// The exact step for a constant `x̂₀`, also where one end has no noise or no data.
  func ddim(_ x: Tensor, _ data: Tensor) -> Tensor { exactForConstantData(x, data, from: now, to: next) }

  /// The part of the step, to a fraction of it in `μ`.
  func part(_ fraction: Double) -> FrameStep {
    guard fraction != 1 else { return self }
    let lambda = now.halfLogSNR + fraction * (next.halfLogSNR - now.halfLogSNR)
    let time = schedule.time(atHalfLogSNR: lambda)
    return FrameStep(frame, on: schedule, from: now, to: schedule.kernel(at: time))
  }

  /// `gain_s h φₖ(−h)`: at `k + 1`, the weight of `h^k q^(k)` at the step's begin.
  func moment(_ k: Int) -> Double { frame.gain(next) * h * phi(k, -h) }

  /// `(scale_s/scale_t) x + Σⱼ wⱼ qⱼ`.
  func state(_ x: Tensor, _ weights: [Double], _ nodes: some Sequence<FrameNode>) -> Tensor {
    let terms = zip(weights, nodes).map { ($0 / $1.unit, $1.quantity) }
    return .combination([(frame.scale(next) / frame.scale(now), x)] + terms)
  }

  /// The weights with which the polynomial through some nodes is integrated over the step.
  ///
  ///     wⱼ = gain_s ∫ e^{μ − μ_s} ℓⱼ dμ
  func weights(of kernels: [PerturbationKernel], in clock: Clock, by quadrature: Quadrature = .exact) -> [Double] {
    guard kernels.count > 1 else { return [moment(1)] }
    let (begin, width) = (clock.value(now), clock.value(next) - clock.value(now))
    let basis = LagrangeBasis(kernels.map { (clock.value($0) - begin) / width })
    if quadrature == .midpoint {
      return basis.values(at: (clock.value(part(0.5).next) - begin) / width).map { moment(1) * $0 }
    }
    if clock == .halfLogSNR {
      // ∫ e^{μ − μ_s} ((μ − μ_t)/h)^k dμ = h k! φₖ₊₁(−h).
      var factorial = 1.0
      let moments = kernels.indices.map { k in
        if k > 0 { factorial *= Double(k) }
        return factorial * moment(k + 1)
      }
      return basis.coefficients.map { zip($0, moments).reduce(0) { $0 + $1.0 * $1.1 } }
    }
    let (first, last) = (frame.gain(now) / frame.scale(now), frame.gain(next) / frame.scale(next))
    return GaussLegendre.integrals(from: first, to: last) { u in
      let ratio = frame == .noise ? u : 1 / u
      return basis.values(at: (clock.value(atNoiseToSignal: ratio, on: schedule) - begin) / width)
    }
    .map { frame.scale(next) * $0 }
  }
}
