import ScorefieldArrays
import ScorefieldTensorCore

/// The eigenvalues that are wanted.
public enum SpectrumOrder: Sendable {
  /// The largest first: the directions in which the density is most curved.
  case largestAlgebraic
  /// The smallest first: the directions the data spread in; negative where the density has a valley.
  case smallestAlgebraic
  /// The farthest from zero first.
  case largestMagnitude

  fileprivate func key(_ values: Tensor) -> Tensor {
    switch self {
    case .largestAlgebraic: values
    case .smallestAlgebraic: -values
    case .largestMagnitude: values.abs()
    }
  }
}

/// Eigenvalues and eigenvectors of a batch of Fishers, and how well they are known.
public struct Eigenpairs: Sendable {
  /// `λ`, in the order that was asked for, shape `[B, k]`.
  public let values: Tensor
  /// `u`, of length 1 and orthogonal, shape `[B, k, …]`.
  public let vectors: Tensor
  /// `|F u − λ u|`, shape `[B, k]`; where `F` is symmetric an eigenvalue is within this of `λ`.
  public let residuals: Tensor
  /// The products per point that were spent.
  public let products: Int
}

extension FisherMatvec {
  /// Some eigenpairs of the Fisher, by the block Lanczos method with full reorthogonalisation.
  ///
  ///     K = span{X, F X, F² X, …},   Vᵀ F V s = θ s,   λ = θ,   u = V s
  ///
  /// `X` has as many columns as pairs are wanted: one column would see one vector of the eigenspace of `1/σ²`, which has
  /// most of the dimensions. A subspace that is invariant is left in a random direction, so all of them are found in the end;
  /// at `d` products the answer is that of a dense solver. A Fisher that is not symmetric is treated as its projection's
  /// symmetric part, and the residuals tell.
  ///
  /// - Cost: Products until every residual falls to the tolerance, at most `maximumProducts` per point; two vectors per
  ///   product are kept. No loop over elements or points.
  /// - Parameters:
  ///   - count: The number of pairs, `k`; there are no more than `d`.
  ///   - x: A batch of the points' shape, type and device.
  ///   - order: Which of them.
  ///   - tolerance: Of the residuals, relative to the largest `|λ|`; 10⁻¹² in `float64` and 10⁻⁵ else where left out.
  ///   - maximumProducts: Where left out, the larger of 128 and `10 k`.
  ///   - seed: What the first block is drawn from.
  /// - Returns: The pairs, with their residuals.
  ///
  /// Source: Golub & Underwood 1977, doi:10.1016/B978-0-12-587260-7.50018-2; Saad 2011,
  /// doi:10.1137/1.9781611970739, section 6.5.
  public func topEigenpairs(
    _ count: Int, like x: Tensor, order: SpectrumOrder = .largestAlgebraic, tolerance: Double? = nil,
    maximumProducts: Int? = nil, seed: UInt64 = 0
  ) -> Eigenpairs {
    guard count > 0, x.dimension > 0 else {
      fatalError("topEigenpairs(\(count), like: \(x.shape)): needs at least one pair of at least one dimension")
    }
    let wanted = min(count, x.dimension)
    let limit = min(x.dimension, max(maximumProducts ?? max(128, 10 * count), wanted))
    let tolerance = tolerance ?? (x.elementType == .float64 ? 1e-12 : 1e-5)

    var space = KrylovSpace(like: x, seed: seed)
    var block = space.extended(by: wanted)
    while true {
      let products = boundedMatvecs(block.swapped(0, 1).reshaped([block.shape[1]] + x.shape)).vectors.swapped(0, 1)
      space.append(block, products)
      let found = space.pairs(wanted, order: order)
      if space.size == limit || (found.residuals .<= tolerance * space.scale).all() {
        return Eigenpairs(
          values: found.values, vectors: found.vectors.reshaped([x.batch, wanted] + x.shape.dropFirst()),
          residuals: found.residuals, products: space.size)
      }
      block = space.extended(by: min(wanted, limit - space.size), towards: products)
    }
  }
}

/// Orthonormal vectors and what the Fisher makes of them, per point; vectors are rows.
private struct KrylovSpace {
  private let shape: [Int]
  private let type: ElementType
  private var generator: Generator
  private let device: Device
  /// `V` and `F V`, `[B, m, d]`.
  private var basis, images: Tensor
  /// `θ`, `[B, m]`, and `s`, as rows, `[B, m, m]`.
  private var values, coefficients: Tensor

  init(like x: Tensor, seed: UInt64) {
    (shape, type, device) = ([x.batch, x.dimension], x.elementType, x.device)
    generator = Generator(seed: seed, on: x.device)
    basis = .zeros([x.batch, 0, x.dimension], type: x.elementType, on: x.device)
    images = basis
    values = .zeros([x.batch, 0], type: x.elementType, on: x.device)
    coefficients = values
  }

  var size: Int { basis.shape[1] }
  /// The largest `|θ|`, `[B, 1]`.
  var scale: Tensor { values.abs().max(-1, keeping: true) }

  mutating func append(_ block: Tensor, _ products: Tensor) {
    basis = .concatenated([basis, block], 1)
    images = .concatenated([images, products], 1)
    let projection = basis.matmul(images.transposed)
    let solved = (0.5 * (projection + projection.transposed)).eigh()
    (values, coefficients) = (solved.values, solved.vectors.transposed)
  }

  /// The pairs of the projection, `[B, k]`, `[B, k, d]` and `[B, k]`.
  func pairs(_ count: Int, order: SpectrumOrder) -> (values: Tensor, vectors: Tensor, residuals: Tensor) {
    let chosen = order.key(values).top(count).positions
    let rows = coefficients.gathered(chosen.expanded(at: 2).broadcast(to: [shape[0], count, size]), 1)
    let (found, vectors) = (values.gathered(chosen, 1), rows.matmul(basis))
    return (found, vectors, (rows.matmul(images) - found.expanded(at: 2) * vectors).norm(-1))
  }

  /// The next orthonormal vectors, `[B, width, d]`: of what the products add to the space, and random ones where they add nothing.
  mutating func extended(by width: Int, towards products: Tensor? = nil) -> Tensor {
    var rows = Tensor.normal([shape[0], width, shape[1]], type: type, on: device, using: &generator)
    if let products {
      // Rounding leaves noise of products that lie in the space; a little more of it makes the direction random.
      let noise = (scale * type.roundoff).clamped(1e-18).expanded(at: 2) * rows
      rows = outside(outside(products[Axis.all, 0..<width])) + noise
    }
    // Twice is enough, once the vectors are of length one.
    for _ in 0..<3 { rows = outside(rows).transposed.qr().q.transposed }
    return rows
  }

  private func outside(_ rows: Tensor) -> Tensor {
    size == 0 ? rows : rows - rows.matmul(basis.transposed).matmul(basis)
  }
}
