import ScorefieldTensorCore

/// Langevin dynamics whose steps are taken or refused, so that its limit is the density itself: MALA.
///
///     y = x + η s(x) + √(2η) ξ,   taken where log u ≤ log p(y) − log p(x) + log q(x|y) − log q(y|x)
///     log q(y|x) = −‖y − x − η s(x)‖²/4η,   s = ∇ log p,   u uniform in (0, 1)
///
/// It needs the density, up to a factor; ``Langevin`` needs its score alone, and is off by `O(η)`. Where many steps are
/// refused the step is too large.
///
/// - Cost: One evaluation of density and score per step, and one more.
///
/// Source: Roberts & Tweedie 1996, doi:10.2307/3318418, section 1.4.2, the Metropolis-adjusted algorithm.
public struct MetropolisLangevin: Sendable {
  /// What is known of a density at points of shape `[B, …]`: `log p` up to a constant, shape `[B]`, and its score.
  public typealias Density = @Sendable (_ x: Tensor) -> (logDensity: Tensor, score: Tensor)

  /// `η`.
  public let stepSize: Double
  /// Steps at a time.
  public let count: Int

  public init(stepSize: Double, count: Int = 1) {
    guard stepSize > 0, stepSize.isFinite, count >= 0 else {
      fatalError("MetropolisLangevin(stepSize: \(stepSize), count: \(count)): needs a step larger than 0")
    }
    (self.stepSize, self.count) = (stepSize, count)
  }

  /// The state after the steps.
  ///
  /// - Parameters:
  ///   - x: Where each sample starts, shape `[B, …]`.
  ///   - density: The density.
  ///   - noise: Where the noise comes from: for each step `ξ`, and two draws of shape `[B]` of which `−log u` is made.
  /// - Returns: The state, shape `[B, …]`, and the share of steps that were taken.
  public func callAsFunction(
    _ x: Tensor, of density: Density, noise: inout NoiseStream
  ) -> (state: Tensor, taken: Double) {
    let ones = x.shape.dropFirst().map { _ in 1 }
    var (state, here) = (x, density(x))
    var taken = 0.0
    for _ in 0..<count {
      let draw = noise.draw(like: state).broadcast(to: state.shape)
      let proposal = state + stepSize * here.score + (2 * stepSize).squareRoot() * draw
      let there = density(proposal)
      // log q(y|x) is −‖ξ‖²/2, whatever x is.
      let back = (state - proposal - stepSize * there.score).flattened.squared().sum(-1) / (4 * stepSize)
      let gain = there.logDensity - here.logDensity - back + 0.5 * draw.flattened.squared().sum(-1)
      // Half the sum of two squares is exponential, as −log u is.
      let threshold = -0.5 * (noise.draw(like: gain).squared() + noise.draw(like: gain).squared())
      // What is no number is not taken.
      let isTaken = gain .>= threshold
      let isStateTaken = isTaken.reshaped([state.shape[0]] + ones)
      state = state.replacing(with: proposal, where: isStateTaken)
      here = (
        here.logDensity.replacing(with: there.logDensity, where: isTaken),
        here.score.replacing(with: there.score, where: isStateTaken)
      )
      taken += isTaken.to(.float64).mean().item
    }
    return (state, count == 0 ? 1 : taken / Double(count))
  }
}
