import ScorefieldPaths
import ScorefieldTensorCore

/// The right-hand side of `dx/dt = v(x, t)`.
public protocol VelocityField: Sendable {
  /// `v(x, t)`; shape `[B, …]` in and out.
  func velocity(_ x: Tensor, at t: Double) -> Tensor
}

/// The velocity that carries the noise to the data and back, with the densities of the forward SDE.
///
///     v = α̇ x̂₀ + σ̇ ε̂ = f x − ½ g² ∇ log p_t
///
/// - Cost: One denoiser evaluation.
///
/// Source: Song et al. 2021, arXiv:2011.13456, eq. 13.
public struct ProbabilityFlow: VelocityField {
  public let denoiser: any Denoiser

  public init(_ denoiser: any Denoiser) { self.denoiser = denoiser }

  public func velocity(_ x: Tensor, at t: Double) -> Tensor {
    let kernel = denoiser.schedule.kernel(at: t)
    let data = denoiser.denoise(x, at: t)
    return kernel.alphaRate * data + kernel.sigmaRate * kernel.noise(in: x, beside: data)
  }
}

/// The drift of the SDE that runs from the noise to the data.
///
///     dx = (f x − g² ∇ log p_t) dt + g dW̄,   dt < 0
///
/// - Cost: One denoiser evaluation.
///
/// Source: Anderson 1982, doi:10.1016/0304-4149(82)90051-5; Song et al. 2021, arXiv:2011.13456, eq. 6.
public struct ReverseDrift: VelocityField {
  public let denoiser: any Denoiser

  public init(_ denoiser: any Denoiser) { self.denoiser = denoiser }

  public func velocity(_ x: Tensor, at t: Double) -> Tensor {
    let kernel = denoiser.schedule.kernel(at: t)
    let data = denoiser.denoise(x, at: t)
    // f x − g² ∇ log p with x = α x̂₀ + σ ε̂: f α is α̇, which stays finite.
    let gain = 2 * kernel.sigmaRate - kernel.drift * kernel.sigma
    return kernel.alphaRate * data + gain * kernel.noise(in: x, beside: data)
  }

  /// `g`, the diffusion coefficient.
  public func diffusion(at t: Double) -> Double { denoiser.schedule.kernel(at: t).diffusion }
}

/// A velocity field in flow time: the same paths, the other way around.
///
///     u(x, τ) = −v(x, T − τ)
///
/// Source: Lipman et al. 2023, arXiv:2210.02747, section 2.
public struct FlowVelocity: VelocityField {
  public let field: any VelocityField
  public let convention: FlowConvention

  public init(_ field: any VelocityField, in convention: FlowConvention) {
    (self.field, self.convention) = (field, convention)
  }

  public func velocity(_ x: Tensor, at flowTime: Double) -> Tensor {
    -field.velocity(x, at: convention.reversed(flowTime))
  }
}

extension PerturbationKernel {
  /// `ε̂ = (x − α x̂₀)/σ`.
  func noise(in x: Tensor, beside data: Tensor) -> Tensor { (x - alpha * data) / sigma }
}
