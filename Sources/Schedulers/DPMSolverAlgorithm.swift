import RealModule
import ScorefieldArrays
import ScorefieldPaths
import ScorefieldTensorCore

/// The four equations that DPM-Solver solves: of the flow or the reverse SDE, for the noise or for the data.
enum DPMSolverAlgorithm: String, Sendable {
  case noise = "dpmsolver"
  case data = "dpmsolver++"
  case noiseSDE = "sde-dpmsolver"
  case dataSDE = "sde-dpmsolver++"

  /// How the second order is completed: both are right to it.
  enum Completion: String, Sendable { case midpoint, heun }

  var predictsData: Bool { self == .data || self == .dataSDE }
  var isStochastic: Bool { self == .noiseSDE || self == .dataSDE }

  /// What a step is made of: `x_s = state x + value D₀ + slope D₁ + curvature D₂ + noise ξ`.
  struct Weights {
    var state, value, slope, curvature, noise: Double
  }

  /// The weights between two levels.
  ///
  /// - Note: `curvature` is that of diffusers, whose `D₂` in multistep form is half of the second derivative it stands for.
  ///
  /// Source: Lu et al. 2022, arXiv:2211.01095, algorithm 2, eq. 9 and appendix B.
  func weights(_ completion: Completion, from now: PerturbationKernel, to next: PerturbationKernel) -> Weights {
    if next.sigma == 0 { return Weights(state: 0, value: next.alpha, slope: 0, curvature: 0, noise: 0) }
    let h = next.halfLogSNR - now.halfLogSNR
    if h == 0 { return Weights(state: 1, value: 0, slope: 0, curvature: 0, noise: 0) }
    // The sign of λ in the exponent, and twice it where there is noise: z = ∓h or ∓2h; and who carries the estimate.
    let z: Double
    let scale: Double
    switch self {
    case .data: (z, scale) = (-h, -next.alpha)
    case .dataSDE: (z, scale) = (-2 * h, -next.alpha)
    case .noise: (z, scale) = (h, -next.sigma)
    case .noiseSDE: (z, scale) = (h, -2 * next.sigma)
    }
    let growth = Double.expMinusOne(z)
    let state =
      switch self {
      case .data: next.sigma / now.sigma
      case .dataSDE: next.sigma / now.sigma * .exp(-h)
      case .noise, .noiseSDE: next.alpha / now.alpha
      }
    let deviation =
      switch self {
      case .data, .noise: 0.0
      case .dataSDE: next.sigma * (-Double.expMinusOne(-2 * h)).squareRoot()
      case .noiseSDE: next.sigma * Double.expMinusOne(2 * h).squareRoot()
      }
    // φ-functions; the one of D₂ vanishes with h, but for the SDE diffusers adds where the others subtract.
    let curvature = (growth - z) / (z * z) + (self == .dataSDE ? 0.5 : -0.5)
    return Weights(
      state: state, value: scale * growth, slope: scale * (completion == .midpoint ? 0.5 * growth : growth / z - 1),
      curvature: scale * curvature, noise: deviation)
  }
}
