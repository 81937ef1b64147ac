import ScorefieldTensorCore

/// How far the style of samples is from that of an example: the distance of the Gram matrices of their features.
///
///     L = |G(f(x)) − G(f(y))|_F,   G(f) = f fᵀ/(C n)
///
/// over features `f` of `C` channels at `n` places.
///
/// - Cost: One evaluation of the features and `O(C² n)` per sample.
///
/// Source: Gatys, Ecker & Bethge 2016, doi:10.1109/CVPR.2016.265, eq. 3; as guidance: Wang et al. 2025, arXiv:2505.23264, appendix C.4.
public struct StyleLoss<E: Error>: Sendable {
  /// `f`, `[B, …] → [B, C, …]`.
  public let features: @Sendable (Tensor) throws(E) -> Tensor
  /// `G(f(y))`, `[1, C, C]` or one for each sample.
  public let gram: Tensor

  /// The distance from the style of an example.
  ///
  /// - Parameters:
  ///   - example: One sample, or one for each, `[B, …]`.
  ///   - features: `f`, `[B, …] → [B, C, …]`, differentiable.
  /// - Throws: What the features throw.
  public init(example: Tensor, features: @escaping @Sendable (Tensor) throws(E) -> Tensor) throws(E) {
    self.features = features
    gram = Self.gram(try features(example))
  }

  /// The loss of each sample, `[B, …] → [B]`.
  ///
  /// - Throws: What the features throw.
  public func callAsFunction(_ x: Tensor) throws(E) -> Tensor {
    let found = Self.gram(try features(x))
    guard gram.shape[1] == found.shape[1], gram.batch == 1 || gram.batch == x.batch else {
      fatalError("StyleLoss(\(x.shape)): the Gram matrices are \(found.shape), those of the example \(gram.shape)")
    }
    // The root has no slope where the distance is zero.
    return ((found - gram).flattened.squared().sum(-1) + 1e-24).sqrt()
  }

  private static func gram(_ features: Tensor) -> Tensor {
    guard features.rank >= 2 else { fatalError("StyleLoss(features: \(features.shape)): need [B, C, …]") }
    let rows = features.reshaped([features.shape[0], features.shape[1], -1])
    return rows.matmul(rows.transposed) / Double(rows.shape[1] * rows.shape[2])
  }
}
