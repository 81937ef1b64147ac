import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// DPM-Solver-v3: a multistep method in the parameterization that a model's own statistics make vary least.
///
///     N̂(λ) = e^{−∫a} N − ∫ e^{−∫a} b,   N = (1 − ℓ) y − x̂₀,   y = x/α
///     y_s  = e^{−∫ℓ} (y_t − ∫ E ∫ e^{−∫a} b − Σⱼ N̂(λ₋ⱼ) ∫ E ℓⱼ dλ),   E = e^{∫(ℓ + a)}
///
/// All integrals begin at the step's begin `λ_t`, those of the last estimates too. `ℓⱼ` are the Lagrange polynomials of their `λ`: their
/// sum is the Taylor polynomial whose derivatives solve the Vandermonde system of differences. A step of any length is exact for
/// Gaussian data whose axes are the coordinates'. Ends without noise or without data are stepped to and from by DDIM.
///
/// - Order: That of its number; the third reaches it by a single-step start, else 2. One denoiser evaluation per step.
///
/// Source: Zheng et al. 2023, arXiv:2310.13268, section 3; Lai et al. 2025, *The Principles of Diffusion Models*, eq. 9.7.12–9.7.15, whose
/// signs and factorials are corrected here, and its state divided by `α`.
public struct DPMSolverV3: Solver {
  /// From 1 to 3.
  public let order: Int
  public let statistics: ModelStatistics
  public let start: MultistepStart

  /// The method of an order.
  ///
  /// Stops where the statistics are not finite; a step stops where they are not those of its samples or its times.
  ///
  /// - Parameters:
  ///   - order: From 1 to 3.
  ///   - statistics: What is known of the model.
  ///   - start: How the first steps of the orders above 1 are made.
  public init(_ order: Int, _ statistics: ModelStatistics, start: MultistepStart = .lowerOrder) {
    guard (1...3).contains(order) else { fatalError("DPMSolverV3(\(order)): the order is 1, 2 or 3") }
    guard [statistics.l, statistics.a, statistics.b].allSatisfy({ $0.isFinite().all() }) else {
      fatalError("DPMSolverV3(\(order)): the statistics hold a NaN or an infinity")
    }
    (self.order, self.statistics, self.start) = (order, statistics, start)
  }

  /// The last estimates.
  public struct Memory: Sendable {
    /// `N` and its time, the newest first.
    fileprivate var nodes: [(kernel: PerturbationKernel, remainder: Tensor)] = []
  }

  public func makeMemory() -> Memory { Memory() }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout Memory
  ) -> Tensor {
    let step = FrameStep(.data, on: field.schedule, from: t, to: s)
    let data = field.denoise(x, at: t)
    guard step.isRegular else {
      memory.nodes = []
      return step.ddim(x, data)
    }
    let (now, next) = (step.now, step.next)
    requireCovered(x, now, next)
    let linear = statistics.linear(at: now.halfLogSNR)
    let node = (kernel: now, remainder: coefficient(1 - linear, like: x) * (x / now.alpha) - data)
    memory.nodes = [node] + memory.nodes.filter { $0.kernel.time != t }.prefix(order - 1)
    if start == .singleStep, memory.nodes.count < order {
      let first = Frame.data.node(x, data, at: now)
      return ExponentialRungeKutta.Tableau.ofOrder(order - 1).advance(x, by: step, from: first, in: field)
    }
    return advance(x, now, next, memory.nodes)
  }

  /// The step by the polynomial through some estimates, the first of which is at its begin.
  private func advance(
    _ x: Tensor, _ now: PerturbationKernel, _ next: PerturbationKernel,
    _ nodes: [(kernel: PerturbationKernel, remainder: Tensor)]
  ) -> Tensor {
    let (begin, length) = (now.halfLogSNR, next.halfLogSNR - now.halfLogSNR)
    let path = StatisticsPath(statistics, from: begin, to: next.halfLogSNR)
    let basis = LagrangeBasis(nodes.map { ($0.kernel.halfLogSNR - begin) / length })
    let weights = Tensor(rows: basis.coefficients).matmul(path.moments(nodes.count))
    let decay = (-path.l).exp()
    // e^{−∫ℓ} (∫ E B − Σⱼ wⱼ Bⱼ), what does not depend on the state.
    var shift = path.drift
    var state = coefficient((next.alpha / now.alpha) * decay, like: x) * x
    for (j, node) in nodes.enumerated() {
      var weight = weights[j]
      if j > 0 {
        let back = StatisticsPath(statistics, from: begin, to: node.kernel.halfLogSNR)
        shift = shift - weight * back.b
        weight = weight * (-back.a).exp()
      }
      state = state - coefficient(next.alpha * decay * weight, like: x) * node.remainder
    }
    return state - coefficient(next.alpha * decay * shift, like: x)
  }

  /// Coefficients per dimension, as they stand beside a batch.
  private func coefficient(_ values: Tensor, like x: Tensor) -> Tensor {
    let shape = statistics.sampleShape
    return values.reshaped(shape.isEmpty ? [] : [1] + shape).to(x.elementType).to(x.device)
  }

  private func requireCovered(_ x: Tensor, _ now: PerturbationKernel, _ next: PerturbationKernel) {
    let shape = statistics.sampleShape
    guard shape.isEmpty || shape == Array(x.shape.dropFirst()) else {
      fatalError("DPMSolverV3.step(\(x.shape)): the statistics are those of samples of shape \(shape)")
    }
    for kernel in [now, next] where !statistics.covers(kernel.halfLogSNR) {
      fatalError(
        "DPMSolverV3.step(from: \(now.time), to: \(next.time)): λ = \(kernel.halfLogSNR) is outside the statistics' range "
          + "\(statistics.halfLogSNRs)")
    }
  }
}

extension ModelStatistics {
  /// `ℓ` at a half log-SNR of the range, `[d]`.
  func linear(at halfLogSNR: Double) -> Tensor {
    let place = (halfLogSNR - halfLogSNRs.lowerBound) / spacing
    let cell = min(max(Int(place.rounded(.down)), 0), nodes - 2)
    let u = place - Double(cell)
    let rise = u * u * (3 - 2 * u)
    let shapes = Tensor(rows: [[1 - rise, rise, u * (1 - u) * (1 - u), u * u * (u - 1)]])
    return shapes.matmul(cells[cell])[0, ..<(cells.shape[2] / 3)]
  }
}
