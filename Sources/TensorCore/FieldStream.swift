import CScorefieldEngine
import ScorefieldArrays

/// The sums of an exact field over rows that stream by, for a batch of queries.
///
///     lᵢ = log wᵢ − |x − α yᵢ|²/(2σ²),   p = softmax(l)
///
/// Rows come in order, in pieces of any size. The same numbers give the same bits in any pieces, on any number of threads,
/// and for a query alone as among others.
///
/// - Cost: Two matrix products, `4 B n d`; twice that with directions. Memory beside the rows is `O(B d)`.
package final class FieldStream {
  /// What the rows came to.
  package struct Sums {
    /// `log Σ exp lᵢ`, `[B]`.
    package let logSum: Tensor
    /// `Σ pᵢ yᵢ` and `(α Σ pᵢ yᵢ − x)/σ²`, `[B, d]`; the second is not computed from the first.
    package let mean, score: Tensor
    /// `Σ pᵢ |yᵢ − mean|²`, `[B]`.
    package let spread: Tensor
    /// `Σ pᵢ (yᵢ − mean) ((yᵢ − mean)·v)`, `[B, d]`; nil without directions.
    package let product: Tensor?
    /// Whose second moments cancelled to fewer digits than the type deserves, `bool` `[B]`; `exactly` gets them back.
    package let lost: Tensor
    /// `min |x − α y|²` over every block of rows, `[B, blocks]`, `float32`.
    ///
    /// Infinite where a block was not looked at; off by roundings of `|x|² + α²|y|²`.
    package let nearest: Tensor?
  }

  /// Rows per block, the unit that is looked at or left out.
  package static let blockLength = Int(CT_FIELD_BLOCK)

  // Released when the last reference goes; used by one thread at a time.
  private let handle: ct_field
  private let shape: [Int]

  /// No rows yet.
  ///
  /// - Parameters:
  ///   - queries: `x`, `[B, d]`, `float32` or `float64`. All tensors are plain: see ``Tensor/isPlain``.
  ///   - directions: `v` for the products, `[B, d]`.
  ///   - centre: A point near the rows' mean, `float64` `[d]`, its numbers representable in `float32`; 0 where left out.
  ///   - alpha: `α`.
  ///   - sigma: `σ`, positive.
  ///   - omitted: The row that each query does without, `int64` `[B]`, −1 for none.
  ///   - blocks: The only blocks to look at, `int64`, ascending; all where left out.
  ///   - exactly: Whether every point that matters is met by differences, at many times the cost.
  ///   - measuring: Whether the least distances are wanted.
  package init(
    at queries: Tensor, along directions: Tensor? = nil, about centre: Tensor? = nil, alpha: Double, sigma: Double,
    without omitted: Tensor? = nil, visiting blocks: Tensor? = nil, exactly: Bool = false, measuring: Bool = false
  ) {
    shape = queries.shape
    var options = ct_field_options()
    options.queries = queries.handle
    options.directions = directions?.handle
    options.centre = centre?.handle
    options.omitted = omitted?.handle
    options.blocks = blocks?.handle
    (options.alpha, options.sigma) = (alpha, sigma)
    (options.exact, options.minima) = (exactly, measuring)
    var field: ct_field?
    withExtendedLifetime((queries, directions, centre, omitted, blocks)) {
      Engine.api.check("FieldStream(\(queries.shape))", Engine.api.field_create(&options, &field))
    }
    handle = field!
  }

  deinit { Engine.api.field_release(handle) }

  /// The next rows.
  ///
  /// - Parameters:
  ///   - rows: `[n, d]`, plain, of the queries' type.
  ///   - logWeights: `log wᵢ`, `float64` `[n]`; zeros where left out.
  ///   - first: The number of the first of them in the whole data set: where the last ended, or a whole block beyond.
  package func add(_ rows: Tensor, logWeights: Tensor? = nil, from first: Int) {
    withExtendedLifetime((rows, logWeights)) {
      Engine.api.check(
        "FieldStream(\(shape)).add(\(rows.shape), from: \(first))",
        Engine.api.field_add(handle, rows.handle, logWeights?.handle, Int64(first)))
    }
  }

  /// What the rows came to; none may follow.
  package func finish() -> Sums {
    var sums = ct_field_sums()
    Engine.api.check("FieldStream(\(shape)).finish", Engine.api.field_finish(handle, &sums))
    return Sums(
      logSum: Tensor(owning: sums.log_sum), mean: Tensor(owning: sums.mean), score: Tensor(owning: sums.score),
      spread: Tensor(owning: sums.spread), product: sums.product.map(Tensor.init(owning:)),
      lost: Tensor(owning: sums.lost), nearest: sums.minima.map(Tensor.init(owning:)))
  }
}

extension FieldStream.Sums {
  /// The sums of all queries of several streams over the same rows, in order.
  package init(joining parts: [FieldStream.Sums]) {
    func joined(_ part: (FieldStream.Sums) -> Tensor) -> Tensor { .concatenated(parts.map(part)) }
    self.init(
      logSum: joined(\.logSum), mean: joined(\.mean), score: joined(\.score), spread: joined(\.spread),
      product: parts[0].product.map { _ in joined { $0.product! } }, lost: joined(\.lost), nearest: nil)
  }

  /// Other sums for the queries where `lost` is true, of which there are as many as `others` has.
  package func replacing(where lost: Tensor, with others: FieldStream.Sums) -> FieldStream.Sums {
    let count = lost.batch
    let ranks = lost.to(.int64).cumulativeSum(0) + Double(count - 1)
    let sources = Tensor.arange(0..<count, on: lost.device).replacing(with: ranks, where: lost)
    func mixed(_ mine: Tensor, _ other: Tensor) -> Tensor { Tensor.concatenated([mine, other]).selecting(sources) }
    return FieldStream.Sums(
      logSum: mixed(logSum, others.logSum), mean: mixed(mean, others.mean), score: mixed(score, others.score),
      spread: mixed(spread, others.spread), product: product.map { mixed($0, others.product!) }, lost: lost,
      nearest: nil)
  }
}

extension Tensor {
  /// Whether the elements lie in host memory in row-major order and nothing that is recorded or batched depends on them:
  /// code that reads memory may take them.
  package var isPlain: Bool { Engine.api.is_plain(handle) }

  /// The same elements in row-major order; itself where they are.
  package var packed: Tensor { Self.contiguous(argument) }

  private static let contiguous = Operator("aten::contiguous")
}
