import ScorefieldTensorCore

// The published exponential Runge–Kutta methods of diffusion models, by their tableaux.

extension ExponentialRungeKutta.Tableau {
  /// DDIM.
  static let first = Self(nodes: [], a: [], b: [])

  /// Second order, the slope taken between the step's begin and a node `r`.
  static func second(_ r: Double) -> Self { Self(nodes: [r], a: [[]], b: [.phi2(1 / r)]) }

  /// Second order with the slope's integral simplified; at `r = 1/2` the estimate at the node alone.
  static func secondSimplified(_ r: Double) -> Self { Self(nodes: [r], a: [[]], b: [.phi1(0.5 / r)]) }

  /// Third order by two nodes, of which the second makes the slope.
  static func third(_ r1: Double, _ r2: Double) -> Self {
    Self(nodes: [r1, r2], a: [[], [.phi2(r2 / r1)]], b: [.zero, .phi2(1 / r2)])
  }

  /// A method that starts others.
  static func ofOrder(_ order: Int) -> Self {
    switch order {
    case ...1: first
    case 2: second(0.5)
    default: third(1 / 3, 2 / 3)
    }
  }
}

extension Solver where Self == ExponentialRungeKutta {
  /// DPM-Solver-1, which is DDIM.
  ///
  /// - Order: 1. One denoiser evaluation per step.
  ///
  /// Source: Lu et al. 2022, arXiv:2206.00927, eq. 3.7.
  public static var dpmSolver1: Self { Self(.noise, .first) }

  /// DPM-Solver-2.
  ///
  ///     u = (α_m/α_t) x − σ_m (e^{h/2} − 1) ε̂(x, t),   x_s = (α_s/α_t) x − σ_s (e^h − 1) ε̂(u, m),   λ_m = (λ_t + λ_s)/2
  ///
  /// - Order: 2. Two denoiser evaluations per step.
  ///
  /// Source: Lu et al. 2022, arXiv:2206.00927, algorithm 1.
  public static var dpmSolver2: Self { Self(.noise, .secondSimplified(0.5)) }

  /// DPM-Solver-2 with its integral not simplified, and any node.
  ///
  ///     x_s = (α_s/α_t) x − σ_s (e^h − 1) ε̂ₜ − (σ_s/γh) (e^h − h − 1) (ε̂_γ − ε̂ₜ)
  ///
  /// - Parameters:
  ///   - frame: What is interpolated.
  ///   - node: `γ`, where the second evaluation is; in (0, 1].
  /// - Returns: The method, of order 2, with two denoiser evaluations per step.
  ///
  /// Source: Lu et al. 2022, arXiv:2206.00927, eq. 3.6 with `k = 2`.
  public static func dpmSolver2(_ frame: Frame = .noise, node: Double) -> Self { Self(frame, .second(node)) }

  /// DPM-Solver-3.
  ///
  /// - Order: 3. Three denoiser evaluations per step.
  ///
  /// Source: Lu et al. 2022, arXiv:2206.00927, algorithm 2.
  public static var dpmSolver3: Self { Self(.noise, .third(1 / 3, 2 / 3)) }

  /// DPM-Solver++(1), which is DDIM.
  ///
  /// - Order: 1. One denoiser evaluation per step.
  ///
  /// Source: Lu et al. 2022, arXiv:2211.01095, eq. 4.1 with `n = 1`.
  public static var dpmSolverPlusPlus1: Self { Self(.data, .first) }

  /// DPM-Solver++(2S), the single-step method of second order.
  ///
  /// - Order: 2. Two denoiser evaluations per step.
  ///
  /// Source: Lu et al. 2022, arXiv:2211.01095, algorithm 1 with `r = 1/2`.
  public static var dpmSolverPlusPlus2S: Self { dpmSolverPlusPlus2S(node: 0.5) }

  /// DPM-Solver++(2S) with any node.
  public static func dpmSolverPlusPlus2S(node: Double) -> Self { Self(.data, .secondSimplified(node)) }

  /// DPM-Solver++(3S), the single-step method of third order.
  ///
  /// - Order: 3. Three denoiser evaluations per step.
  ///
  /// Source: Lu et al. 2022, arXiv:2206.00927, algorithm 2 in the frame of arXiv:2211.01095.
  public static var dpmSolverPlusPlus3S: Self { Self(.data, .third(1 / 3, 2 / 3)) }
}
