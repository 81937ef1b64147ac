import Foundation
import Scorefield

/// Statistics whose integrals are known in closed form, different in two dimensions; no model's own.
///
///     ∫ℓ = −½ log(1 + e^{−2(λ + c)}),   ∫a = −0.4 λ + 0.3 sin(λ + c),   ∫e^{−∫a} b = 0.5 cos 0.8λ + c λ,   c = 0.2, −0.5
struct StatisticsFormula: Sendable {
  let shifts: [Double]

  static let plane = StatisticsFormula(shifts: [0.2, -0.5])
  static let planeTables = plane.statistics(over: -5...5, nodes: 4001)
  /// The same in all dimensions of a sample.
  static let scalar = StatisticsFormula(shifts: [0.2])

  private func tensor(_ value: (Double) -> Double) -> Tensor {
    shifts.count == 1 ? Tensor(scalar: value(shifts[0])) : Tensor(shifts.map(value))
  }

  /// Integrals from 0.
  func linear(_ lambda: Double) -> Tensor { tensor { -0.5 * log(1 + exp(-2 * (lambda + $0))) } }
  func scale(_ lambda: Double) -> Tensor { tensor { -0.4 * lambda + 0.3 * sin(lambda + $0) } }
  func shift(_ lambda: Double) -> Tensor { tensor { 0.5 * cos(0.8 * lambda) + $0 * lambda } }
  func l(_ lambda: Double) -> Tensor { tensor { 1 / (1 + exp(2 * (lambda + $0))) } }
  func lRate(_ lambda: Double) -> Tensor { -2 * l(lambda) * (1 - l(lambda)) }
  func a(_ lambda: Double) -> Tensor { tensor { -0.4 + 0.3 * cos(lambda + $0) } }
  func b(_ lambda: Double) -> Tensor { scale(lambda).exp() * tensor { -0.4 * sin(0.8 * lambda) + $0 } }

  /// `E`, `A` and `B` from one half log-SNR to another.
  func growth(_ s: Double, _ lambda: Double) -> Tensor {
    (linear(lambda) - linear(s) + scale(lambda) - scale(s)).exp()
  }
  func decay(_ s: Double, _ lambda: Double) -> Tensor { (scale(s) - scale(lambda)).exp() }
  func drift(_ s: Double, _ lambda: Double) -> Tensor { scale(s).exp() * (shift(lambda) - shift(s)) }

  /// The tables between which nothing is to be seen of the nodes.
  func statistics(over range: ClosedRange<Double>, nodes: Int) -> ModelStatistics {
    ModelStatistics(over: range, nodes: nodes) { (l($0), a($0), b($0)) }
  }

  /// `N` of points whose estimate is known.
  func remainder(_ x: Tensor, _ data: Tensor, _ kernel: PerturbationKernel) -> Tensor {
    (1 - l(kernel.halfLogSNR)) * (x / kernel.alpha) - data
  }

  /// `N̂`, anchored at `s`.
  func anchored(_ remainder: Tensor, at lambda: Double, from s: Double) -> Tensor {
    decay(s, lambda) * remainder - drift(s, lambda)
  }
}
