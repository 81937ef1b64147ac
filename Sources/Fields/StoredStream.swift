import RealModule
import ScorefieldArrays
import ScorefieldPaths
import ScorefieldTensorCore

/// One pass over stored points for the posterior's moments at a batch of queries; a second one for those among them whose
/// second moments cancelled.
public struct StoredStream {
  private let field: StoredField
  private let x: Tensor
  private let direction: Tensor?
  private let kernel: PerturbationKernel
  private let second: Bool
  private let omitted: (numbers: Tensor, logRemainders: Tensor)?

  private var passes: [FieldStream]
  /// What the first pass found, and the second one where second moments cancelled.
  private var found: FieldStream.Sums?
  private var done = 0
  private var isOver = false

  /// Queries are asked side by side, so many numbers at a time.
  private static let size = 1 << 20

  init(_ field: StoredField, _ x: Tensor, at t: Double, along direction: Tensor?, second: Bool) {
    let points = field.points
    guard Array(x.shape.dropFirst()) == points.pointShape, x.elementType == points.elementType,
      direction == nil || direction!.shape == x.shape && direction!.elementType == x.elementType
    else {
      fatalError(
        "posterior(\(x.shape) \(x.elementType.rawValue), along: \(direction.map { "\($0.shape)" } ?? "nothing")): "
          + "the data are [N] + \(points.pointShape) \(points.elementType.rawValue)")
    }
    (self.field, self.x, self.second) = (field, x.flattened.packed, second)
    self.direction = direction?.flattened.packed
    guard self.x.isPlain, self.direction?.isPlain ?? true else {
      fatalError("posterior(\(x.shape)): stored points have no derivatives; ask for products along a direction")
    }
    kernel = field.schedule.kernel(at: t)
    omitted = field.omitted(for: x)
    passes = []
    let limit = Swift.max(32, Self.size / Swift.max(points.dimension, 1) / 32 * 32)
    // At least once: an empty batch has an empty answer.
    for start in stride(from: 0, to: Swift.max(1, x.batch), by: limit) {
      let range = start..<Swift.min(start + limit, x.batch)
      passes.append(pass(self.x[range], self.direction?[range], omitted?.numbers[range], exactly: false))
    }
  }

  private func pass(_ x: Tensor, _ direction: Tensor?, _ omitted: Tensor?, exactly: Bool) -> FieldStream {
    FieldStream(
      at: x, along: direction, about: field.points.centre, alpha: kernel.alpha, sigma: kernel.sigma,
      without: omitted, exactly: exactly)
  }

  /// How many points a pass has.
  public var count: Int { field.points.count }

  /// Takes the next points in, and says how many of a pass are done; nil where there is nothing left to do.
  public mutating func next() throws(ArrayFileError) -> Int? {
    guard let range = following else { return nil }
    take(try field.points.points(range).packed, field.points.logWeights(range), range)
    return range.upperBound
  }

  /// The numbers of the points that are to be taken in next; nil where there is nothing left to do.
  var following: Range<Int>? {
    isOver ? nil : done..<Swift.min(done + field.points.chunkSize, count)
  }

  /// Takes points in: those that are ``following``.
  mutating func take(_ rows: Tensor, _ logWeights: Tensor?, _ range: Range<Int>) {
    for pass in passes { pass.add(rows, logWeights: logWeights, from: range.lowerBound) }
    done = range.upperBound
    if done == count { endPass() }
  }

  private mutating func endPass() {
    let sums = FieldStream.Sums(joining: passes.map { $0.finish() })
    passes = []
    if let first = found {
      found = first.replacing(where: first.lost, with: sums)
      isOver = true
      return
    }
    found = sums
    guard second, sums.lost.any() else {
      isOver = true
      return
    }
    done = 0
    let lost = sums.lost
    passes = [pass(x[lost], direction?[lost], omitted?.numbers[lost], exactly: true)]
  }

  /// The moments, when there is nothing left to do.
  public var posterior: PosteriorMoments {
    guard isOver else { fatalError("StoredStream.posterior: \(done) of \(count) points were taken in") }
    let points = field.points
    let shape = [x.batch] + points.pointShape
    return PosteriorMoments(
      found!, at: kernel, uniformLogWeight: points.hasWeights ? 0 : -Double.log(Double(points.count)),
      logRemainders: omitted?.logRemainders, shape: shape, along: direction?.reshaped(shape))
  }
}
