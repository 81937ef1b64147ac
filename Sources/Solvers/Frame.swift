import RealModule
import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// The coordinates in which a method sees the probability flow, by what it would take for constant.
///
///     data:    d(x/σ) = x̂₀ d(α/σ),   μ = λ
///     noise:   d(x/α) = ε̂ d(σ/α),    μ = −λ
///
/// The two are one equation, `d(x/scale) = q de^μ`, with the roles of data and noise exchanged; so are their methods.
///
/// Source: Lu et al. 2022, arXiv:2206.00927, prop. 3.1 (noise) and arXiv:2211.01095, prop. 4.1 (data).
public enum Frame: Sendable, CaseIterable {
  case data, noise

  /// `σ` or `α`, what the state is divided by.
  func scale(_ kernel: PerturbationKernel) -> Double { self == .data ? kernel.sigma : kernel.alpha }
  /// `α` or `σ`, what the predicted quantity is multiplied by: `scale · e^μ`.
  func gain(_ kernel: PerturbationKernel) -> Double { self == .data ? kernel.alpha : kernel.sigma }
  /// `μ`, in which the weight of the quantity is an exponential.
  func clock(_ kernel: PerturbationKernel) -> Double { self == .data ? kernel.halfLogSNR : -kernel.halfLogSNR }

  /// `q` at a point where the denoiser's answer is known.
  func node(_ x: Tensor, _ data: Tensor, at kernel: PerturbationKernel) -> FrameNode {
    switch self {
    case .data: FrameNode(kernel: kernel, quantity: data, unit: 1)
    // σ ε̂ rather than ε̂: its weight is divided by σ, not every one of its elements.
    case .noise:
      FrameNode(
        kernel: kernel, quantity: .combination([(1, x), (-kernel.alpha, data)]), unit: kernel.sigma)
    }
  }
}

/// What a frame's quantity was at one time.
struct FrameNode: Sendable {
  let kernel: PerturbationKernel
  /// `unit · q`, shape `[B, …]`.
  let quantity: Tensor
  let unit: Double
}
