import ScorefieldTensorCore

// Sums over points whose bits do not depend on whether one thread or two compute them.
//
// A matrix product goes to a library that cuts it among threads as it likes, and with the cut changes the order in which
// numbers are added; it takes the members of a batch of products whole. libtorch itself cuts a sum only where it has one
// result and 2¹⁵ terms.

extension Tensor {
  /// `Σₙ w y` for weights `[B, n]` and points `[n, d]`: `[B, d]`.
  func steadySums(of points: Tensor) -> Tensor {
    // A row times a matrix is not cut along the sum.
    guard batch > 1 else { return matmul(points) }
    // Pieces of one length, and the rest in two halves: a batch of one would be cut.
    let (count, length) = (points.batch, 256)
    let whole = count < 3 * length ? 0 : (count / length - 1) * length
    let half = (count - whole + 1) / 2
    let missing = 2 * half - (count - whole)
    let (weights, rows) = (self[Axis.all, whole...], points[whole...])
    let rest =
      missing == 0
      ? weights.sums(of: rows, by: half)
      : weights.padded(0, missing).sums(of: rows.padded(0, 0, 0, missing), by: half)
    return whole == 0 ? rest : rest + self[Axis.all, ..<whole].sums(of: points[..<whole], by: length)
  }

  /// The sum of the rows of `[n, d]`, `[d]`.
  var steadySum: Tensor { Tensor.ones([1, batch], type: elementType, on: device).steadySums(of: self).squeezed(0) }

  private func sums(of points: Tensor, by length: Int) -> Tensor {
    let pieces = points.batch / length
    let weights = reshaped(batch, pieces, length).swapped(0, 1)
    return weights.matmul(points.reshaped(pieces, length, points.shape[1])).sum(0)
  }
}
