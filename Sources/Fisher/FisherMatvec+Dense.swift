import ScorefieldTensorCore

extension FisherMatvec {
  /// The Fisher as a matrix.
  ///
  ///     Fᵢⱼ = (F eⱼ)ᵢ
  ///
  /// - Cost: `d` products, several at a time; `O(B·d²)` memory.
  /// - Parameter x: A batch of the points' shape, type and device.
  /// - Returns: Shape `[B, d, d]`.
  public func dense(like x: Tensor) -> Tensor {
    let columns = basisProducts(like: x) { _, products in products }
    return columns.permuted(1, 2, 0)
  }

  /// The diagonal of the Fisher, `eᵢᵀ F eᵢ`.
  ///
  /// - Cost: `d` products, several at a time; `O(B·d)` memory beside them.
  /// - Parameter x: A batch of the points' shape, type and device.
  /// - Returns: The shape of `x`.
  public func diagonal(like x: Tensor) -> Tensor {
    basisProducts(like: x) { basis, products in basis.dot(products) }.transposed.reshaped(x.shape)
  }

  /// What a function of some basis vectors and their products, both `[n, B, d]`, makes of all `d`, joined.
  func basisProducts(like x: Tensor, _ function: (Tensor, Tensor) -> Tensor) -> Tensor {
    let identity = Tensor.identity(x.dimension, type: x.elementType, on: x.device)
    return .concatenated(
      blocks(of: x.dimension, like: x).map { range in
        let shape = [range.count] + x.shape
        let basis = identity[range].expanded(at: 1).broadcast(to: [range.count, x.batch, x.dimension]).reshaped(shape)
        return function(basis.vectors, matvecs(basis).vectors)
      })
  }
}
