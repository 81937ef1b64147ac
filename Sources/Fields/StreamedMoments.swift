import ScorefieldTensorCore

/// Weighted moments of a stream of points, one set per query: log-sum-exp, mean, and second moments about the mean.
///
/// Weights are relative to the largest logit seen so far; a larger one rescales what is there. Parts are joined so that
/// nothing large is subtracted from something large:
///
///     δ = mean₂ − mean₁,   M = M₁ + M₂ + (m₁ m₂ / m) δ δᵀ
///
/// Source: Chan, Golub & LeVeque 1983, doi:10.1080/00031305.1983.10483115, eq. 2.1.
package struct StreamedMoments {
  /// Moments of some points about their mean: sums of weights `[B, 1]`, means `[B, d]`, sums of squares `[B, 1]` and of
  /// products with the direction `[B, d]`, as far as they are wanted.
  package struct Part {
    package var mass, mean: Tensor
    package var spread, product: Tensor?

    package init(mass: Tensor, mean: Tensor, spread: Tensor?, product: Tensor?) {
      (self.mass, self.mean, self.spread, self.product) = (mass, mean, spread, product)
    }
  }

  /// Against the weight 1 of the largest logit; points that have less so far may have none, and nothing divides by it.
  package static let negligibleMass = 1e-30

  private let direction: Tensor?
  private var maximum: Tensor
  private var sums: Part

  /// No points yet.
  ///
  /// - Parameters:
  ///   - queries: What the moments are for, `[B, d]`.
  ///   - direction: `v` for the product `C v`, `[B, d]`; nothing where it is not wanted.
  ///   - second: Whether any second moment is wanted.
  package init(for queries: Tensor, along direction: Tensor?, second: Bool) {
    self.direction = direction
    let column = queries.narrowed(1, from: 0, count: Swift.min(1, queries.shape[1])).sum(-1, keeping: true)
    maximum = .zeros(like: column) - .infinity
    sums = Part(
      mass: .zeros(like: column), mean: .zeros(like: queries), spread: second ? .zeros(like: column) : nil,
      product: direction.map(Tensor.zeros(like:)))
  }

  /// Makes room for points with the given logits, `[B, n]`, and returns their weights.
  package mutating func admit(_ logits: Tensor) -> Tensor {
    // A constant: nothing that leaves here depends on it, so neither does a derivative.
    let larger = Tensor.maximum(maximum, logits.detached().max(-1, keeping: true))
    let scale = (maximum - larger).exp()
    maximum = larger
    sums.mass *= scale
    sums.spread = sums.spread.map { $0 * scale }
    sums.product = sums.product.map { $0 * scale }
    return (logits - larger).exp()
  }

  /// Joins the moments of points that were admitted.
  package mutating func merge(_ part: Part) {
    let total = sums.mass + part.mass
    // Neither may have any weight for some query.
    let fraction = part.mass / total.clamped(Self.negligibleMass)
    let shift = part.mean - sums.mean
    let coupling = sums.mass * fraction
    sums.spread = sums.spread.map { $0 + part.spread! + coupling * shift.squared().sum(-1, keeping: true) }
    sums.product = sums.product.map {
      $0 + part.product! + coupling * shift * (shift * direction!).sum(-1, keeping: true)
    }
    sums.mean += fraction * shift
    sums.mass = total
  }

  /// `log Σ eˡ`, `[B]`.
  package var logSum: Tensor { (maximum + sums.mass.log()).squeezed(-1) }
  /// `Σ w y`, `[B, d]`.
  package var mean: Tensor { sums.mean }
  /// `Σ w |y − mean|²`, `[B]`.
  package var spread: Tensor? { sums.spread.map { ($0 / sums.mass).squeezed(-1) } }
  /// `Σ w (y − mean) ((y − mean)·v)`, `[B, d]`.
  package var product: Tensor? { sums.product.map { $0 / sums.mass } }
}
