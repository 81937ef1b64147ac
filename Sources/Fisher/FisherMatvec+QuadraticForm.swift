import ScorefieldTensorCore

extension FisherMatvec {
  /// The curvature of `−log q_t` along a direction, `vᵀ F v`.
  ///
  /// - Cost: One product.
  /// - Parameter v: The direction, shape `[B, …]`.
  /// - Returns: Shape `[B]`.
  public func quadraticForm(_ v: Tensor) -> Tensor { v.flattened.dot(matvec(v).flattened) }

  /// `zᵀ F z` for several vectors per point, `[n, B, …]` → `[n, B]`.
  func quadraticForms(_ block: Tensor) -> Tensor { block.vectors.dot(matvecs(block).vectors) }
}
