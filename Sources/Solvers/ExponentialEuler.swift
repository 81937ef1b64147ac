import RealModule
import ScorefieldFields
import ScorefieldTensorCore

/// The exponential Euler method with coefficients of the step's begin: stable however fast the linear part decays.
///
///     x_s = e^{hL} x + h φ₁(hL) N,   h = s − t
///
/// DDIM is its relative that integrates the coefficients of the noise exactly as well.
///
/// - Order: 1. One evaluation per step.
///
/// Source: Hochbruck & Ostermann 2010, doi:10.1017/S0962492910000048, eq. 1.6.
public struct ExponentialEuler: Solver {
  public init() {}

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any SemilinearField, memory: inout NoMemory
  ) -> Tensor {
    let h = s - t
    let exponent = h * field.rate(at: t)
    return .combination([(.exp(exponent), x), (h * phi(1, exponent), field.remainder(x, at: t))])
  }
}
