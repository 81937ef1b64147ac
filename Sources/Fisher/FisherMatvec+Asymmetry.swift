import ScorefieldTensorCore

extension FisherMatvec {
  /// How far the products are from those of a symmetric matrix, `|uᵀFv − vᵀFu|`.
  ///
  /// Zero for an exact field; a learned field need not be a gradient.
  ///
  /// - Cost: Two products.
  /// - Parameters:
  ///   - u: A direction, shape `[B, …]`.
  ///   - v: Another.
  /// - Returns: Shape `[B]`.
  public func asymmetry(_ u: Tensor, _ v: Tensor) -> Tensor {
    (u.flattened.dot(matvec(v).flattened) - v.flattened.dot(matvec(u).flattened)).abs()
  }

  /// The part of the Fisher that is not symmetric, `|F − Fᵀ|/(2|F|)` in Hilbert–Schmidt norms, from pairs of probes.
  ///
  ///     |F − Fᵀ|² = E[(uᵀFv − vᵀFu)²],   |F|² = E[|F v|²]
  ///
  /// Between 0 for a symmetric and 1 for an antisymmetric matrix, up to the error of the probes.
  ///
  /// - Cost: `2 pairs` products.
  /// - Parameters:
  ///   - x: A batch of the points' shape, type and device.
  ///   - pairs: The number of pairs of probes.
  ///   - seed: What they are drawn from.
  /// - Returns: Shape `[B]`.
  public func asymmetryIndex(like x: Tensor, pairs: Int, seed: UInt64) -> Tensor {
    guard pairs > 0 else { fatalError("asymmetryIndex(pairs: \(pairs)): needs at least one") }
    var generator = Generator(seed: seed, on: x.device)
    var skew = Tensor.zeros([x.batch], type: x.elementType, on: x.device)
    var whole = skew
    for range in blocks(of: pairs, like: x) {
      let (u, v) = (
        ProbeDistribution.gaussian.draw(range.count, like: x, using: &generator),
        ProbeDistribution.gaussian.draw(range.count, like: x, using: &generator)
      )
      let (fu, fv) = (matvecs(u).vectors, matvecs(v).vectors)
      skew += (u.vectors.dot(fv) - v.vectors.dot(fu)).squared().sum(0)
      whole += (fu.squared() + fv.squared()).sum(-1).sum(0)
    }
    return (skew / (2 * whole).clamped(1e-30)).sqrt()
  }
}
