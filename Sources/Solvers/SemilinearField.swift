import ScorefieldFields
import ScorefieldPaths
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
