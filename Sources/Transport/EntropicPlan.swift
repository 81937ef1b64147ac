import ScorefieldSolvers
import ScorefieldTensorCore

/// The plan of transport with entropy, by its potentials, and how far the iteration came.
///
///     γᵢⱼ = aᵢ bⱼ exp((fᵢ + gⱼ − Cᵢⱼ)/ε)
///
/// Source: Peyré & Cuturi 2019, arXiv:1803.00567, proposition 4.3.
public struct EntropicPlan: Sendable {
  /// `ε`.
  public let epsilon: Double
  /// `f`, shape `[n]`.
  public let sourcePotential: Tensor
  /// `g`, shape `[m]`.
  public let targetPotential: Tensor
  /// `⟨C, γ⟩`, without the entropy.
  public let transportCost: Double
  /// `⟨C, γ⟩ + ε KL(γ ‖ a ⊗ b)`.
  public let value: Double
  /// `⟨f, a⟩ + ⟨g, b⟩`, which is no larger than the best value.
  public let dualValue: Double
  /// `Σᵢ |(γ 1)ᵢ − aᵢ|`; the columns are exact.
  public let marginalError: Double
  /// Pairs of updates, at all `ε`.
  public let iterations: Int
  /// `converged` where the marginal error fell to the tolerance.
  public let outcome: Outcome

  let cost: TiledCost
  let logWeights: (a: Tensor, b: Tensor)

  /// `γ`, shape `[n, m]`.
  public var matrix: Tensor {
    conditional { logits, range in (logits + logWeights.a[range].expanded(at: 1)).exp() }
  }

  /// The mean of where each source goes.
  ///
  ///     Σⱼ γᵢⱼ yⱼ / Σⱼ γᵢⱼ
  ///
  /// - Parameter y: The targets, shape `[m, …]`.
  /// - Returns: Shape `[n, …]`.
  public func barycentres(of y: Tensor) -> Tensor {
    guard y.batch == cost.columns else {
      fatalError("EntropicPlan.barycentres(of: \(y.shape)): the plan is of \(cost.columns) targets")
    }
    let targets = y.flattened.to(.float64)
    let means = conditional { logits, _ in logits.softmax(-1).matmul(targets) }
    return means.reshaped([cost.rows] + y.shape.dropFirst())
  }

  /// A body on the rows of `log(γᵢⱼ/aᵢ)`.
  private func conditional(_ body: (Tensor, Range<Int>) -> Tensor) -> Tensor {
    cost.reduced { tile, range in
      body((sourcePotential[range].expanded(at: 1) + targetPotential - tile) / epsilon + logWeights.b, range)
    }
  }
}
