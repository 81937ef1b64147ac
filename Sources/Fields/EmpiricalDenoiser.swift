import ScorefieldPaths
import ScorefieldTensorCore

/// The exact field of a finite, optionally weighted, data set.
///
///     lᵢ = log πᵢ − |x − α yᵢ|²/(2σ²),   w = softmax(l),   x̂₀ = Σᵢ wᵢ yᵢ
///
/// Queries are answered in one stream over the points, which are not copied; memory does not grow with `B·N`. Numbers on
/// the host go through the engine's own kernel (`FieldStream`); what is differentiated or batched by a transform goes
/// through operations of tensors, tile by tile, with moments kept about the running mean.
///
/// - Cost: `O(B·N·d)` for a batch of `B` points and `N` data points of dimension `d`.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, propositions 1 and 3.
public struct EmpiricalDenoiser: ExactField {
  public let schedule: any NoiseSchedule
  /// The shape of one data point.
  public let pointShape: [Int]

  /// The points, `[N, d]`, and about their mean, `[d]`.
  let points: Tensor
  private let centre: Tensor
  /// Whether the engine's kernel can read the points.
  private let isReadable: Bool
  /// `|y|²` about the centre, `[N]`; `radius` is the largest `|y|`.
  private let squaredNorms: Tensor
  private let radius: Double
  /// `log πᵢ`, `float64` `[N]`; nil where all are equal to `uniformLogWeight`.
  let logWeights: Tensor?
  private let uniformLogWeight: Double
  /// Where each of the data is in `points`, `[N]`, −1 where it has no weight; nil where all have.
  private let places: Tensor?
  /// The number of data that were given.
  private let dataCount: Int

  /// The field of a data set.
  ///
  /// - Parameters:
  ///   - data: The points, shape `[N, …]`, `float32` or `float64`; the element type of every answer.
  ///   - weights: Their relative weights, shape `[N]`, not negative and not all zero; equal where left out.
  ///   - schedule: How they become noise.
  public init(data: Tensor, weights: Tensor? = nil, on schedule: any NoiseSchedule) {
    guard data.rank >= 1, data.batch > 0 else {
      fatalError("EmpiricalDenoiser(data: \(data.shape)): needs at least one point")
    }
    guard data.elementType == .float64 || data.elementType == .float32 else {
      fatalError("EmpiricalDenoiser(data: \(data.elementType.rawValue)): needs float32 or float64")
    }
    self.schedule = schedule
    self.pointShape = Array(data.shape.dropFirst())
    self.dataCount = data.batch

    var rows = data.flattened
    if let weights {
      guard weights.shape == [data.batch], !(weights .< 0).any(), weights.isFinite().all(), (weights .> 0).any() else {
        fatalError("EmpiricalDenoiser(weights: \(weights.shape)): needs [\(data.batch)], not negative, not all zero")
      }
      // A point without weight is no point: its logit would be −∞.
      let kept = weights .> 0
      rows = rows[kept]
      let positive = weights[kept].to(.float64)
      self.logWeights = (positive / positive.expanded(at: 1).steadySum).log().packed
      self.uniformLogWeight = 0
      self.places = (kept.to(.int64).cumulativeSum(0) - 1).replacing(with: -1, where: .!kept)
    } else {
      self.places = nil
      self.logWeights = nil
      self.uniformLogWeight = -Double.log(Double(data.batch))
    }
    // Few digits, so that grey levels less the centre are exact.
    let centre = (rows.steadySum / Double(rows.batch)).to(.float32).to(data.elementType)
    (self.points, self.centre, self.isReadable) = (rows.packed, centre, rows.packed.isPlain)
    let step = Swift.max(1, Self.blockSize / Swift.max(centre.count, 1))
    self.squaredNorms = .concatenated(
      stride(from: 0, to: rows.batch, by: step).map { (rows[$0..<($0 + step)] - centre).norm(-1).squared() })
    self.radius = squaredNorms.max().item.squareRoot()
  }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor { denoise(x, at: t, without: nil) }

  public func posterior(_ x: Tensor, at t: Double, along direction: Tensor?) -> PosteriorMoments {
    posterior(x, at: t, along: direction, without: nil)
  }

  public func posteriors(_ questions: [FieldQuestion]) -> [PosteriorMoments] {
    read(questions, without: nil, second: true) ?? questions.map { posterior($0.x, at: $0.time, along: $0.direction) }
  }

  // MARK: Leaving points out

  /// One point per query that is not there.
  struct Omission {
    /// Where it is in `points`, −1 where nothing is left out, and the logarithm of the weight of all others; `[B, 1]`.
    fileprivate let places, logRemainders: Tensor

    fileprivate subscript(_ range: Range<Int>) -> Omission {
      Omission(places: places[range], logRemainders: logRemainders[range])
    }

    /// The logits of points from `first` on, `[B, n]`, with those of the missing −∞.
    fileprivate func applied(to logits: Tensor, from first: Int) -> Tensor {
      let positions = Tensor.arange(first..<(first + logits.shape[1]), on: logits.device)
      return logits.replacing(with: -.infinity, where: positions .== places)
    }
  }

  /// The omission of the data at `int64` positions, `[B]`.
  func omission(of positions: Tensor) -> Omission {
    guard positions.rank == 1, positions.elementType == .int64, !(positions .< 0).any(),
      !(positions .>= Double(dataCount)).any()
    else {
      fatalError(
        "leavingOut(\(positions.shape) \(positions.elementType.rawValue)): needs int64 [B], each from 0 to "
          + "\(dataCount - 1)")
    }
    let places = self.places?.selecting(positions) ?? positions
    let weights =
      logWeights?.exp() ?? .full([points.batch], .exp(uniformLogWeight), on: points.device)
    // Not 1 − w, which cancels where one point has nearly all of the weight.
    let none = Tensor.zeros([1], on: weights.device)
    let before = Tensor.concatenated([none, weights[..<(points.batch - 1)].cumulativeSum(0)])
    let after = Tensor.concatenated([none, weights[1...].reversed(0).cumulativeSum(0)]).reversed(0)
    let remainders = (before + after).selecting(places.clamped(0).to(.int64)).replacing(with: 1, where: places .< 0)
    guard (remainders .> 0).all() else {
      fatalError("leavingOut(\(positions.shape)): a point is the whole data set, without it nothing is left")
    }
    let logRemainders = remainders.log().to(points.elementType)
    return Omission(places: places.expanded(at: 1), logRemainders: logRemainders.expanded(at: 1))
  }

  func denoise(_ x: Tensor, at t: Double, without omission: Omission?) -> Tensor {
    if let read = read([FieldQuestion(x, at: t)], without: omission, second: false) { return read[0].mean }
    let streams = streams(x, at: t, along: nil, without: omission, second: false)
    return Tensor.concatenated(streams.map(\.mean)).reshaped(x.shape)
  }

  func posterior(
    _ x: Tensor, at t: Double, along direction: Tensor?, without omission: Omission?
  ) -> PosteriorMoments {
    if let read = read([FieldQuestion(x, at: t, along: direction)], without: omission, second: true) { return read[0] }
    let streams = streams(x, at: t, along: direction, without: omission, second: true)
    func joined(_ part: (Stream) -> Tensor) -> Tensor { Tensor.concatenated(streams.map(part)) }
    return PosteriorMoments(
      kernel: schedule.kernel(at: t), logDensity: joined(\.logDensity), mean: joined(\.mean).reshaped(x.shape),
      score: joined(\.score).reshaped(x.shape), covarianceTrace: joined { $0.spread! },
      covarianceProduct: direction.map { _ in joined { $0.product! }.reshaped(x.shape) }, along: direction)
  }

  // MARK: Numbers

  /// Numbers that one stream of the kernel keeps per query and kind of sum.
  private static let streamSize = 1 << 20

  /// Numbers of a tile of points that several streams take in turn, so that it comes from memory once.
  private static let sharedTileSize = 1 << 22

  /// The answers of the engine's kernel in one pass over the points; nil where a question is more than numbers.
  ///
  /// `second` says whether anything beside the mean is wanted.
  private func read(_ questions: [FieldQuestion], without omission: Omission?, second: Bool) -> [PosteriorMoments]? {
    for question in questions { check(question.x, along: question.direction, without: omission) }
    let parts = questions.enumerated().flatMap { divided($0.element, $0.offset, without: omission) }
    guard isReadable, parts.allSatisfy({ $0.queries.isPlain && $0.directions?.isPlain ?? true }) else { return nil }

    var found: [(question: Int, sums: FieldStream.Sums)] = []
    for range in shared(parts) {
      let streams = parts[range].map { opened($0, exactly: false) }
      pass(to: streams)
      for (part, stream) in zip(parts[range], streams) {
        let sums = stream.finish()
        guard second, sums.lost.any() else {
          found.append((part.question, sums))
          continue
        }
        let again = opened(part.selecting(sums.lost), exactly: true)
        pass(to: [again])
        found.append((part.question, sums.replacing(where: sums.lost, with: again.finish())))
      }
    }
    return questions.enumerated().map { index, question in
      PosteriorMoments(
        FieldStream.Sums(joining: found.filter { $0.question == index }.map(\.sums)),
        at: schedule.kernel(at: question.time), uniformLogWeight: uniformLogWeight,
        logRemainders: omission?.logRemainders.squeezed(-1), shape: question.x.shape, along: question.direction)
    }
  }

  /// The parts that go over the points together: as many as one stream may hold, so that memory does not grow with them.
  private func shared(_ parts: [Part]) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    var (first, size) = (0, 0)
    for (index, part) in parts.enumerated() {
      let own = part.queries.count * (part.directions == nil ? 1 : 2)
      if index > first, size + own > Self.streamSize {
        ranges.append(first..<index)
        (first, size) = (index, 0)
      }
      size += own
    }
    return ranges + [first..<parts.count]
  }

  /// Some queries of a question, as one stream of the kernel takes them.
  private struct Part {
    /// Which of the questions.
    let question: Int
    let kernel: PerturbationKernel
    let queries: Tensor
    let directions, places: Tensor?

    func selecting(_ mask: Tensor) -> Part {
      Part(
        question: question, kernel: kernel, queries: queries[mask], directions: directions?[mask], places: places?[mask]
      )
    }
  }

  private func divided(_ question: FieldQuestion, _ index: Int, without omission: Omission?) -> [Part] {
    let (queries, directions) = (question.x.flattened.packed, question.direction?.flattened.packed)
    let places = omission?.places.to(.int64).packed
    let kernel = schedule.kernel(at: question.time)
    let kinds = directions == nil ? 1 : 2
    let limit = Swift.max(32, Self.streamSize / (kinds * Swift.max(centre.count, 1)) / 32 * 32)
    // At least once: an empty batch has an empty answer.
    return stride(from: 0, to: Swift.max(1, queries.batch), by: limit).map { start in
      let range = start..<Swift.min(start + limit, queries.batch)
      return Part(
        question: index, kernel: kernel, queries: queries[range], directions: directions?[range], places: places?[range]
      )
    }
  }

  private func opened(_ part: Part, exactly: Bool) -> FieldStream {
    FieldStream(
      at: part.queries, along: part.directions, about: centre.to(.float64), alpha: part.kernel.alpha,
      sigma: part.kernel.sigma, without: part.places, exactly: exactly)
  }

  /// All points, to each of the streams.
  private func pass(to streams: [FieldStream]) {
    let shared = Swift.max(16, Self.sharedTileSize / Swift.max(centre.count, 1) / FieldStream.blockLength)
    let step = streams.count == 1 ? points.batch : shared * FieldStream.blockLength
    for first in stride(from: 0, to: points.batch, by: step) {
      let range = first..<Swift.min(first + step, points.batch)
      for stream in streams { stream.add(points[range], logWeights: logWeights?[range], from: first) }
    }
  }

  // MARK: One stream over the points, by operations of tensors

  /// How the distances between queries and points are formed.
  private enum Form {
    /// `|x|² − 2 α x·y + α²|y|²`, by matrix products about the data's centre: fast, and exact while logits are moderate.
    case products
    /// `|x/α − y|²`, by explicit differences: what is left where products cancel.
    case differences

    /// Queries per stream; blocks of differences are to stay in cache.
    func queryLimit(dimension: Int) -> Int {
      switch self {
      case .products: EmpiricalDenoiser.queryLimit
      case .differences: Swift.max(1, Swift.min(EmpiricalDenoiser.queryLimit, (1 << 14) / Swift.max(dimension, 1)))
      }
    }
  }

  private static let queryLimit = 256
  /// Elements of a tile of logits, and of a block of differences; neither has so many points that libtorch would cut a sum.
  private static let tileSize = 1 << 19
  private static let pointLimit = 1 << 14
  private static let blockSize = 1 << 18

  /// Products lose `ε` times the size of their terms of every logit; they serve while that is harmless.
  private func form(for queries: Tensor, _ kernel: PerturbationKernel) -> Form {
    guard queries.batch > 0 else { return .products }
    let reach = (queries - kernel.alpha * centre).norm(-1).max().item / kernel.sigma
    let span = kernel.alpha * radius / kernel.sigma
    // A logit near the data is as large as d/2, and rounded as much, in either form.
    let harmless = Swift.max(points.elementType == .float64 ? 16384 : 256, Double(centre.count))
    return span * Swift.max(span, reach) <= harmless ? .products : .differences
  }

  /// Stops where the question does not fit the data.
  private func check(_ x: Tensor, along direction: Tensor?, without omission: Omission?) {
    guard Array(x.shape.dropFirst()) == pointShape, x.elementType == points.elementType,
      direction == nil || direction!.shape == x.shape && direction!.elementType == x.elementType
    else {
      fatalError(
        "posterior(\(x.shape) \(x.elementType.rawValue), along: \(direction.map { "\($0.shape)" } ?? "nothing")): "
          + "the data are [N] + \(pointShape) \(points.elementType.rawValue)")
    }
    guard omission == nil || omission!.places.batch == x.batch else {
      fatalError("posterior(\(x.shape)): \(omission!.places.batch) points are to be left out, one per query")
    }
  }

  /// What one stream over the points knows of a few queries.
  private struct Stream {
    let logDensity, mean, score: Tensor
    let spread, product: Tensor?
  }

  private func streams(
    _ x: Tensor, at t: Double, along direction: Tensor?, without omission: Omission?, second: Bool
  ) -> [Stream] {
    let kernel = schedule.kernel(at: t)
    let (queries, directions) = (x.flattened, direction?.flattened)

    var answers: [Stream] = []
    var start = 0
    // At least once: an empty batch has an empty answer.
    repeat {
      let ahead = queries[start..<(start + Self.queryLimit)]
      let form = form(for: ahead, kernel)
      let count = Swift.min(ahead.batch, form.queryLimit(dimension: centre.count))
      let range = start..<(start + count)
      answers.append(
        stream(ahead[..<count], directions?[range], kernel, form, without: omission?[range], second: second))
      start += count
    } while start < queries.batch
    return answers
  }

  private func stream(
    _ queries: Tensor, _ directions: Tensor?, _ kernel: PerturbationKernel, _ form: Form, without omission: Omission?,
    second: Bool
  ) -> Stream {
    let (alpha, precision) = (kernel.alpha, 1 / (kernel.sigma * kernel.sigma))
    // The query without the centre in the scale of x_t, and in that of the data: differences need no centre, and points
    // that are moved to it are rounded.
    let residual = queries - alpha * centre
    let origin = queries / alpha
    // Distances are taken from a constant, for libtorch's have no forward and no second derivative. The query departs from
    // it by zero, and |a + δ − y|² = |a − y|² − 2 (y − a)·δ + |δ|² restores every derivative.
    let anchor = origin.detached()
    let departure = origin - anchor
    let halfSquare = 0.5 * departure.squared().sum(-1, keeping: true)

    var sums = StreamedMoments(for: queries, along: directions, second: second)
    let step = Swift.max(64, Swift.min(Self.pointLimit, Self.tileSize / Swift.max(queries.batch, 1)))
    for first in stride(from: 0, to: points.batch, by: step) {
      let range = first..<Swift.min(first + step, points.batch)
      let tile = form == .products ? points[range] - centre : points[range]
      switch form {
      case .products:
        var bias = (-0.5 * alpha * alpha * precision) * squaredNorms[range]
        if let logWeights { bias += logWeights[range].to(bias.elementType) }
        let logits = residual.matmul(tile.transposed) * (alpha * precision) + bias
        let weights = sums.admit(omission?.applied(to: logits, from: first) ?? logits)
        sums.merge(moments(of: tile, squaredNorms[range], weights, directions, second: second))
      case .differences:
        var logits = anchor.distances(to: tile).squared() * (-0.5 * alpha * alpha * precision)
        if let logWeights { logits += logWeights[range].to(logits.elementType) }
        let weights = sums.admit(omission?.applied(to: logits, from: first) ?? logits)
        forEachBlock(of: tile, weights) { block, weights in
          let change = (block - anchor.expanded(at: 1)).matmul(departure.expanded(at: 2)).squeezed(2) - halfSquare
          let weights = weights * (change * (alpha * alpha * precision)).exp()
          sums.merge(moments(of: block.expanded(at: 0) - origin.expanded(at: 1), weights, directions, second: second))
        }
      }
    }

    let logSum = omission.map { sums.logSum - $0.logRemainders.squeezed(-1) } ?? sums.logSum
    // Sums of products are moments of `y − c` about zero; sums of differences are of `y − x/α`.
    let logNormalizer = uniformLogWeight - 0.5 * Double(centre.count) * .log(2 * .pi / precision)
    switch form {
    case .products:
      return Stream(
        logDensity: logSum - (0.5 * precision) * residual.squared().sum(-1) + logNormalizer,
        mean: centre + sums.mean, score: (alpha * sums.mean - residual) * precision, spread: sums.spread,
        product: sums.product)
    case .differences:
      return Stream(
        logDensity: logSum + logNormalizer, mean: queries / alpha + sums.mean,
        score: sums.mean * (alpha * precision), spread: sums.spread, product: sums.product)
    }
  }

  /// A tile's moments about the data's centre, by matrix products.
  ///
  /// - Parameters:
  ///   - tile: Centred points, `[n, d]`.
  ///   - squaredNorms: Their `|y|²`, `[n]`.
  ///   - weights: `[B, n]`.
  ///   - directions: `[B, d]`, or nothing.
  ///   - second: Whether second moments are wanted.
  /// - Returns: The moments.
  private func moments(
    of tile: Tensor, _ squaredNorms: Tensor, _ weights: Tensor, _ directions: Tensor?, second: Bool
  ) -> StreamedMoments.Part {
    let mass = weights.sum(-1, keeping: true)
    let mean = weights.steadySums(of: tile) / mass.clamped(StreamedMoments.negligibleMass)
    guard second else { return .init(mass: mass, mean: mean, spread: nil, product: nil) }
    return .init(
      mass: mass, mean: mean,
      spread: weights.matmul(squaredNorms.expanded(at: 1)) - mass * mean.squared().sum(-1, keeping: true),
      product: directions.map {
        (weights * $0.matmul(tile.transposed)).steadySums(of: tile) - mass * mean * (mean * $0).sum(-1, keeping: true)
      })
  }

  /// A block's moments about each query, from differences `[B, n, d]`.
  private func moments(
    of differences: Tensor, _ weights: Tensor, _ directions: Tensor?, second: Bool
  ) -> StreamedMoments.Part {
    let mass = weights.sum(-1, keeping: true)
    let row = weights.expanded(at: 1)
    let mean = row.matmul(differences).squeezed(1) / mass.clamped(StreamedMoments.negligibleMass)
    guard second else { return .init(mass: mass, mean: mean, spread: nil, product: nil) }
    let centred = differences - mean.expanded(at: 1)
    return .init(
      mass: mass, mean: mean, spread: (weights * centred.norm(-1).squared()).sum(-1, keeping: true),
      product: directions.map {
        let projections = centred.matmul($0.expanded(at: 2)).squeezed(2)
        return (weights * projections).expanded(at: 1).matmul(centred).squeezed(1)
      })
  }

  /// Calls the body with the points of a tile that have weight for some query, a cache's worth at a time.
  private func forEachBlock(of tile: Tensor, _ weights: Tensor, _ body: (Tensor, Tensor) -> Void) {
    // Most weights are exactly zero where differences are needed: e^{−745} underflows.
    let kept = weights.max(0) .> 0
    let (tile, weights) = (tile[kept], weights[Axis.all, kept])
    let room = Self.blockSize / Swift.max(weights.batch * centre.count, 1)
    let step = Swift.max(1, Swift.min(Self.pointLimit, room))
    for first in stride(from: 0, to: tile.batch, by: step) {
      let range = first..<(first + step)
      body(tile[range], weights[Axis.all, range])
    }
  }
}
