import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// The exponential Adams–Bashforth method: the last few estimates, continued as a polynomial, integrated exactly.
///
///     x_s = (scale_s/scale_t) x_t + gain_s ∫ e^{μ − μ_s} Σⱼ ℓⱼ q(t₋ⱼ) dμ
///
/// DEIS and the multistep kind of DPM-Solver++ are this method; they differ in frame and clock.
///
/// - Order: One more than the degree. One denoiser evaluation per step, more while a one-step method starts it.
///
/// Source: Zhang & Chen 2023, arXiv:2204.13902, eq. 14–15; Lu et al. 2022, arXiv:2211.01095, section 4.2.
public struct ExponentialAdamsBashforth: Solver {
  public let frame: Frame
  /// The variable of the polynomial.
  public let clock: Clock
  /// The polynomial's degree, from 0 (DDIM) to 3.
  public let degree: Int
  public let quadrature: Quadrature
  public let start: MultistepStart
  /// The grid's end, towards which the order falls; empty where it does not.
  public let lastTimes: [Double]

  public init(
    _ frame: Frame, degree: Int, in clock: Clock = .halfLogSNR, quadrature: Quadrature = .exact,
    start: MultistepStart = .lowerOrder
  ) {
    self.init(frame, degree, clock, quadrature, start, [])
  }

  private init(
    _ frame: Frame, _ degree: Int, _ clock: Clock, _ quadrature: Quadrature, _ start: MultistepStart,
    _ lastTimes: [Double]
  ) {
    guard (0...3).contains(degree) else {
      fatalError("ExponentialAdamsBashforth(degree: \(degree)): polynomials beyond degree 3 amplify errors; use 0 to 3")
    }
    guard quadrature == .exact || degree < 2 else {
      fatalError("ExponentialAdamsBashforth(degree: \(degree)): the midpoint is of order 2; use degree 1")
    }
    (self.frame, self.degree, self.clock, self.quadrature) = (frame, degree, clock, quadrature)
    (self.start, self.lastTimes) = (start, lastTimes)
  }

  /// The method with its start replaced.
  public func starting(by start: MultistepStart) -> Self { Self(frame, degree, clock, quadrature, start, lastTimes) }

  /// The method whose last steps on a grid are of falling order, the very last DDIM's, which few steps profit from.
  ///
  /// Source: Lu et al. 2022, arXiv:2206.00927, in its released code, `lower_order_final`.
  public func lowerOrderFinal(on grid: TimeGrid) -> Self {
    Self(frame, degree, clock, quadrature, start, Array(grid.times.suffix(degree)))
  }

  /// The weights of the last estimates in a step.
  ///
  /// - Parameters:
  ///   - t: Where the step begins.
  ///   - s: Where it ends.
  ///   - earlier: The times of the estimates before the one at `t`, the newest first.
  ///   - schedule: What the times are times of; none of them is without noise or without data.
  /// - Returns: `wⱼ` in `x_s = (scale_s/scale_t) x_t + Σⱼ wⱼ q(t₋ⱼ)`, one more than there are earlier times.
  public func weights(
    from t: Double, to s: Double, after earlier: [Double] = [], on schedule: any NoiseSchedule
  ) -> [Double] {
    let step = FrameStep(frame, on: schedule, from: t, to: s)
    return step.weights(of: [step.now] + schedule.kernels(at: earlier), in: clock, by: quadrature)
  }

  /// The last estimates.
  public struct Memory: Sendable {
    /// The newest first.
    var nodes: [FrameNode] = []
  }

  public func makeMemory() -> Memory { Memory() }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout Memory
  ) -> Tensor {
    let step = FrameStep(frame, on: field.schedule, from: t, to: s)
    let data = field.denoise(x, at: t)
    guard step.isRegular else {
      memory.nodes = []
      return step.ddim(x, data)
    }
    memory.remember(frame.node(x, data, at: step.now), keeping: degree + 1)
    if start == .singleStep, memory.nodes.count <= degree {
      return ExponentialRungeKutta.Tableau.ofOrder(degree).advance(x, by: step, from: memory.nodes[0], in: field)
    }
    // The times still to come, this step's end among them.
    let toCome = lastTimes.firstIndex(of: s).map { lastTimes.count - $0 } ?? degree + 1
    let nodes = memory.nodes.prefix(toCome)
    return step.state(x, step.weights(of: nodes.map(\.kernel), in: clock, by: quadrature), nodes)
  }
}

extension ExponentialAdamsBashforth.Memory {
  /// Adds the newest estimate; older ones at the same time, as after a turn, would divide by zero.
  mutating func remember(_ node: FrameNode, keeping count: Int) {
    nodes = [node] + nodes.filter { $0.kernel.time != node.kernel.time }.prefix(count - 1)
  }
}

extension Solver where Self == ExponentialAdamsBashforth {
  /// DEIS: the predicted noise as a polynomial of time, "tAB-DEIS".
  ///
  /// - Parameters:
  ///   - degree: The degree of the polynomial, from 0 to 3.
  ///   - clock: Its variable.
  ///   - start: How the first steps are made.
  /// - Returns: The method, of order `degree + 1`.
  ///
  /// Source: Zhang & Chen 2023, arXiv:2204.13902, eq. 14–15.
  public static func deis(_ degree: Int, in clock: Clock = .time, start: MultistepStart = .lowerOrder) -> Self {
    Self(.noise, degree: degree, in: clock, start: start)
  }

  /// DPM-Solver++(2M), the multistep method of second order.
  ///
  ///     D = x̂₀(t) + (h/2h₋) (x̂₀(t) − x̂₀(t₋)),   x_s = (σ_s/σ_t) x_t + α_s (1 − e^{−h}) D
  ///
  /// - Order: 2. One denoiser evaluation per step.
  ///
  /// Source: Lu et al. 2022, arXiv:2211.01095, algorithm 2.
  public static var dpmSolverPlusPlus2M: Self { Self(.data, degree: 1, quadrature: .midpoint) }

  /// DPM-Solver++(2M) with its integral not simplified, "heun" in diffusers.
  ///
  ///     D = x̂₀(t) + β(h) (x̂₀(t) − x̂₀(t₋))/h₋,   β(h) = (h − 1 + e^{−h})/(1 − e^{−h})
  ///
  /// - Order: 2. One denoiser evaluation per step.
  ///
  /// Source: Lu et al. 2022, arXiv:2211.01095, eq. 4.1 with `n = 2`.
  public static var dpmSolverPlusPlus2MExact: Self { Self(.data, degree: 1) }

  /// DPM-Solver++(3M), the multistep method of third order, with a start that lets it be one.
  ///
  /// - Order: 3. One denoiser evaluation per step, two in the first two.
  /// - Note: Released code has half the weight of the second difference, and order 2.
  ///
  /// Source: Lu et al. 2022, arXiv:2211.01095, eq. 4.1 with `n = 3`.
  public static var dpmSolverPlusPlus3M: Self { Self(.data, degree: 2, start: .singleStep) }
}
