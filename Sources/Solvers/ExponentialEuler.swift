import RealModule
import ScorefieldFields
import ScorefieldTensorCore

/// A right-hand side of which a multiple of the state is known, `dx/dt = L(t) x + N(x, t)`.
public protocol SemilinearField: VelocityField {
  /// `L(t)`.
  func rate(at t: Double) -> Double
  /// `N(x, t)`; shape `[B, …]` in and out.
  func remainder(_ x: Tensor, at t: Double) -> Tensor
}

extension SemilinearField {
  public func velocity(_ x: Tensor, at t: Double) -> Tensor { rate(at: t) * x + remainder(x, at: t) }
}

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

/// The probability flow with its drift apart.
///
///     L = f,   N = ½ (g²/σ) ε̂
///
/// Source: Song et al. 2021, arXiv:2011.13456, eq. 13.
public struct SemilinearFlow: SemilinearField {
  public let denoiser: any Denoiser

  public init(_ denoiser: any Denoiser) { self.denoiser = denoiser }

  public func rate(at t: Double) -> Double { denoiser.schedule.kernel(at: t).drift }

  public func remainder(_ x: Tensor, at t: Double) -> Tensor {
    let kernel = denoiser.schedule.kernel(at: t)
    return (kernel.diffusionSquared / (2 * kernel.sigma)) * denoiser.noise(x, at: t)
  }
}
