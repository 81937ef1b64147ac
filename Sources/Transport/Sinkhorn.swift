import ScorefieldSolvers
import ScorefieldTensorCore

/// Sinkhorn's iteration for transport with entropy, on the logarithms of the scalings.
///
///     min ⟨C, γ⟩ + ε KL(γ ‖ a ⊗ b)   over γ ≥ 0,   γ 1 = a,   γᵀ 1 = b
///     γᵢⱼ = aᵢ bⱼ exp((fᵢ + gⱼ − Cᵢⱼ)/ε)
///     fᵢ ← −ε log Σⱼ bⱼ exp((gⱼ − Cᵢⱼ)/ε),   gⱼ ← −ε log Σᵢ aᵢ exp((fᵢ − Cᵢⱼ)/ε)
///
/// The best plan is one, positive wherever the weights are, and depends smoothly on everything, where that of
/// ``optimalTransport(_:from:to:maximumPivots:)`` may jump. The value is at most `ε log min(n, m)` above that without entropy.
///
/// - Cost: `O(n m)` per half of an iteration, with `O(n + m)` memory beside the cost; of points `O(n m d)`, and no more than a
///   tile of the cost at a time. The error falls by a constant factor per iteration, which is close to 1 where `ε` is small against the
///   differences of the cost: there, take ``optimalTransport(_:from:to:maximumPivots:)`` where it is possible.
///
/// Source: Cuturi 2013, arXiv:1306.0895; in logarithms Peyré & Cuturi 2019, arXiv:1803.00567, section 4.4.
public struct Sinkhorn: Sendable {
  /// `ε`, in units of the cost.
  public let epsilon: Double
  /// The largest `Σᵢ |(γ 1)ᵢ − aᵢ|` to stop at; the columns are exact.
  public let tolerance: Double
  /// At most so many iterations, those at larger `ε` among them.
  public let maximumIterations: Int
  /// By how much `ε` shrinks from the largest cost on, each time from the potentials found so far; nil to start at `ε`.
  public let scaling: Double?

  /// How far to iterate.
  ///
  /// - Parameters:
  ///   - epsilon: `ε`, in units of the cost, larger than 0.
  ///   - tolerance: The largest `Σᵢ |(γ 1)ᵢ − aᵢ|` to stop at.
  ///   - maximumIterations: At most so many iterations.
  ///   - scaling: Between 0 and 1, such as 0.5; nil to start at `ε`.
  public init(epsilon: Double, tolerance: Double = 1e-9, maximumIterations: Int = 10_000, scaling: Double? = nil) {
    guard epsilon > 0, epsilon < .infinity, tolerance >= 0, maximumIterations > 0,
      scaling.map({ $0 > 0 && $0 < 1 }) ?? true
    else {
      fatalError(
        "Sinkhorn(epsilon: \(epsilon), tolerance: \(tolerance), maximumIterations: \(maximumIterations), scaling: "
          + "\(scaling.map(String.init(describing:)) ?? "nil")): needs ε > 0, an iteration and a scaling between 0 and 1"
      )
    }
    (self.epsilon, self.tolerance) = (epsilon, tolerance)
    (self.maximumIterations, self.scaling) = (maximumIterations, scaling)
  }

  /// The plan for a cost.
  ///
  /// - Parameters:
  ///   - cost: `C`, shape `[n, m]`.
  ///   - a: Weights of the sources, shape `[n]`, not negative and not all zero; equal where left out.
  ///   - b: Weights of the targets, shape `[m]`; both are scaled to sum to 1.
  ///   - start: The first `g`, shape `[m]`; zero where left out.
  /// - Returns: The plan by its potentials, and how far the iteration came.
  public func plan(
    _ cost: Tensor, from a: Tensor? = nil, to b: Tensor? = nil, startingAt start: Tensor? = nil
  ) -> EntropicPlan {
    guard cost.rank == 2, cost.count > 0 else { fatalError("Sinkhorn.plan(\(cost.shape)): needs a cost [n, m]") }
    return plan(.matrix(cost.to(.float64)), a, b, start)
  }

  /// The plan for the squared distances of points, of which no `[n, m]` array is kept.
  ///
  /// - Parameters:
  ///   - x: The sources, shape `[n, …]`.
  ///   - y: The targets, shape `[m, …]`.
  ///   - a: Weights of the sources, shape `[n]`, not negative and not all zero; equal where left out.
  ///   - b: Weights of the targets, shape `[m]`; both are scaled to sum to 1.
  ///   - start: The first `g`, shape `[m]`; zero where left out.
  /// - Returns: The plan by its potentials, and how far the iteration came.
  public func plan(
    carrying x: Tensor, to y: Tensor, from a: Tensor? = nil, to b: Tensor? = nil, startingAt start: Tensor? = nil
  ) -> EntropicPlan {
    guard x.rank > 0, y.rank > 0, x.count > 0, y.count > 0 else {
      fatalError("Sinkhorn.plan(carrying: \(x.shape), to: \(y.shape)): needs points")
    }
    return plan(.points(x, y), a, b, start)
  }

  private func plan(_ cost: TiledCost, _ a: Tensor?, _ b: Tensor?, _ start: Tensor?) -> EntropicPlan {
    let (n, m, device) = (cost.rows, cost.columns, cost.device)
    guard a.map({ $0.shape == [n] }) ?? true, b.map({ $0.shape == [m] }) ?? true, start.map({ $0.shape == [m] }) ?? true
    else {
      let shapes = [a, b, start].map { $0.map { "\($0.shape)" } ?? "nil" }
      fatalError(
        "Sinkhorn.plan(from: \(shapes[0]), to: \(shapes[1]), startingAt: \(shapes[2])): needs [\(n)], [\(m)] and [\(m)]"
      )
    }
    let rows = Tensor(checkedWeights("Sinkhorn.plan", a, n)).to(device)
    let columns = Tensor(checkedWeights("Sinkhorn.plan", b, m)).to(device)
    var state = State(
      cost: cost, a: rows, b: columns, g: start?.to(.float64).to(device) ?? .zeros([m], on: device))

    if let scaling {
      var coarse = cost.largest
      while coarse > epsilon, state.iterations < maximumIterations - 1 {
        // No better than the next step will unsettle it.
        state.iterate(epsilon: coarse, tolerance: max(tolerance, 1e-3), until: maximumIterations - 1)
        coarse *= scaling
      }
    }
    state.iterate(epsilon: epsilon, tolerance: tolerance, until: maximumIterations)
    return state.finished(epsilon: epsilon, tolerance: tolerance)
  }
}

/// An iteration under way: `g` is the answer to `f`, so that columns are exact, and `next` the answer to `g`.
private struct State {
  let cost: TiledCost
  let transposedCost: TiledCost
  let a, b, logA, logB: Tensor
  var f, g, next: Tensor
  var iterations = 0
  var marginalError = Double.infinity

  init(cost: TiledCost, a: Tensor, b: Tensor, g: Tensor) {
    (self.cost, transposedCost, self.a, self.b, self.g) = (cost, cost.transposed, a, b, g)
    (logA, logB) = (a.log(), b.log())
    f = .zeros(like: a)
    next = f
  }

  mutating func iterate(epsilon: Double, tolerance: Double, until limit: Int) {
    next = cost.softMinimum(g, logB, epsilon)
    while iterations < limit {
      f = next
      g = transposedCost.softMinimum(f, logA, epsilon)
      next = cost.softMinimum(g, logB, epsilon)
      iterations += 1
      // The sum of row i is aᵢ exp((fᵢ − next fᵢ)/ε).
      marginalError = (a * ((f - next) / epsilon).expm1()).abs().sum().item
      if !(marginalError > tolerance) { break }
    }
  }

  func finished(epsilon: Double, tolerance: Double) -> EntropicPlan {
    let rowSums = a * ((f - next) / epsilon).exp()
    let spent = cost.reduced { tile, range in
      let exponent = (f[range].expanded(at: 1) + g - tile) / epsilon + logA[range].expanded(at: 1) + logB
      return (exponent.exp() * tile).sum(-1)
    }
    let outcome: Outcome =
      marginalError.isFinite ? (marginalError <= tolerance ? .converged : .stepLimit) : .notFinite
    return EntropicPlan(
      epsilon: epsilon, sourcePotential: f, targetPotential: g, transportCost: spent.sum().item,
      value: (f.dot(rowSums) + g.dot(b)).item, dualValue: (f.dot(a) + g.dot(b)).item, marginalError: marginalError,
      iterations: iterations, outcome: outcome, cost: cost, logWeights: (logA, logB))
  }
}
