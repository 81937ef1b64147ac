import ScorefieldTensorCore

extension FisherMatvec {
  /// The Hilbert–Schmidt norm, `|F| = √(Σⱼ |F eⱼ|²)`.
  ///
  /// - Cost: `d` products, several at a time; `O(B·d)` memory beside them.
  /// - Parameter x: A batch of the points' shape, type and device.
  /// - Returns: Shape `[B]`.
  public func hilbertSchmidtNorm(like x: Tensor) -> Tensor {
    basisProducts(like: x) { _, products in products.squared().sum(-1) }.sum(0).sqrt()
  }

  /// The Hilbert–Schmidt norm from Rademacher probes, `|F|² = E[|F z|²]`.
  ///
  /// The square is unbiased; the root is low by a part of the order of its squared relative error.
  ///
  /// - Cost: `probes` products.
  /// - Parameters:
  ///   - x: A batch of the points' shape, type and device.
  ///   - probes: The number of probes.
  ///   - seed: What they are drawn from.
  /// - Returns: The norm and its standard error to first order, shape `[B]`.
  public func hilbertSchmidtNorm(like x: Tensor, probes: Int, seed: UInt64) -> Estimate {
    guard probes > 0 else { fatalError("hilbertSchmidtNorm(probes: \(probes)): needs at least one") }
    var generator = Generator(seed: seed, on: x.device)
    let squares = ProbeDistribution.rademacher.samples(probes, like: x, using: &generator) { z in
      matvecs(z).vectors.squared().sum(-1)
    }
    return Estimate(samples: squares).mapped({ $0.sqrt() }, slope: { 0.5 * $0.rsqrt() })
  }
}
