import ScorefieldArrays
import ScorefieldTensorCore

/// What random probes `z` with `E[z zᵀ] = I` are drawn from.
public enum ProbeDistribution: Sendable {
  /// −1 or 1, equally likely: no variance from the diagonal of what is probed.
  case rademacher
  /// The normal distribution: the same variance in every basis, and more of it.
  case gaussian

  /// `count` probes for each point, shape `[count, B, …]`.
  package func draw(_ count: Int, like x: Tensor, using generator: inout Generator) -> Tensor {
    let shape = [count] + x.shape
    return switch self {
    case .rademacher: .rademacher(shape, type: x.elementType, on: x.device, using: &generator)
    case .gaussian: .normal(shape, type: x.elementType, on: x.device, using: &generator)
    }
  }

  /// What a function `[n, B, …] → [n, B]` makes of `count` probes, shape `[count, B]`, a bounded number at a time.
  func samples(
    _ count: Int, like x: Tensor, using generator: inout Generator, of function: (Tensor) -> Tensor
  ) -> Tensor {
    let rows = blocks(of: count, like: x).map { function(draw($0.count, like: x, using: &generator)) }
    return .concatenated(rows)
  }
}

/// Products with several vectors per point, `[n, B, …]`, as products at points repeated, `[n·B, …]`.
func matvecs(_ block: Tensor, at x: Tensor, by product: (_ x: Tensor, _ v: Tensor) -> Tensor) -> Tensor {
  product(x.broadcast(to: block.shape).merged, block.merged).reshaped(block.shape)
}

/// `0..<count` in parts, so that one vector per number and point stays within `2¹⁸` elements where it can.
func blocks(of count: Int, like x: Tensor) -> [Range<Int>] {
  let length = max(1, (1 << 18) / max(x.count, 1))
  return stride(from: 0, to: count, by: length).map { $0..<min($0 + length, count) }
}

extension FisherMatvec {
  /// ``matvecs(_:)`` of any number of vectors, a bounded number at a time.
  package func boundedMatvecs(_ block: Tensor) -> Tensor {
    .concatenated(blocks(of: block.batch, like: block[0]).map { matvecs(block[$0]) })
  }
}

extension Tensor {
  /// The elements of one point as one axis, `[n, B, …]` → `[n, B, d]`.
  package var vectors: Tensor { reshaped([shape[0], shape[1], shape.dropFirst(2).reduce(1, *)]) }
  /// The first two axes as one, `[n, B, …]` → `[n·B, …]`.
  var merged: Tensor { reshaped([shape[0] * shape[1]] + shape.dropFirst(2)) }
  /// The dimension of one element of a batch.
  package var dimension: Int { shape.dropFirst().reduce(1, *) }
}

extension ElementType {
  /// The relative error of one rounding.
  package var roundoff: Double {
    switch self {
    case .float64: 0x1p-53
    case .float32: 0x1p-24
    case .float16: 0x1p-11
    default: 0x1p-8
    }
  }
}
