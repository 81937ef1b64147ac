import ScorefieldArrays
import ScorefieldPaths
import ScorefieldTensorCore

/// The first pass over stored points: every one is read, is a number that can be squared, and takes its part in the mean.
///
/// A job that takes hours should not end at a bad row in its last shard; and whoever streams needs a centre first. It is a
/// loop of the caller's, who can show how far it is. A file that is linked to several times is looked over once.
public struct PointSurvey {
  private let base: StoredPoints
  private var sums: [Double]
  private let check: RowCheck
  /// How many rows of a file are known to be well, from its first one on.
  private var known: [FileIdentity: Int] = [:]
  private var done = 0

  /// How many points there are.
  public var count: Int { base.count }

  /// Begins.
  ///
  /// - Parameters:
  ///   - rows: The files.
  ///   - type: The type of every answer, `float32` or `float64`.
  ///   - levels: The scale, if they are grey levels.
  ///   - selection: Which of the rows are points, and with which weight.
  /// - Throws: Where the engine has no such numbers.
  public init(
    _ rows: StoredRows, type: ElementType = .float64, levels: GreyLevels = GreyLevels(),
    selection: PointSelection? = nil
  ) throws(ArrayFileError) {
    guard type == .float64 || type == .float32 else {
      fatalError("PointSurvey(type: \(type.rawValue)): needs float32 or float64")
    }
    guard Tensor.supports(rows.elementType) else {
      throw ArrayFileError(
        rows.path, .badData, "holds \(rows.elementType.rawValue) values", repair: "give real numbers or grey levels")
    }
    base = StoredPoints(unchecked: rows, type: type, levels: levels, selection: selection)
    sums = Array(repeating: 0, count: base.dimension)
    check = RowCheck(of: base)
  }

  /// Looks at the next points, and says how many are done; nil where there are no more.
  public mutating func next() throws(ArrayFileError) -> Int? {
    guard done < count else { return nil }
    let range = done..<min(count, done + base.chunkSize)
    let stored = try base.stored(range)
    if !isKnown(range) {
      try check.check(stored) { base.row(of: range.lowerBound + $0) }
      know(range)
    }
    add(base.converted(stored))
    done = range.upperBound
    return done
  }

  /// The points, when all were looked at.
  public var points: StoredPoints {
    guard done == count else { fatalError("PointSurvey.points: \(done) of \(count) were looked at") }
    let mean = Tensor(sums.map { $0 / Double(count) })
    return StoredPoints(base, centre: mean.to(.float32).to(.float64))
  }

  /// Sums of blocks are added in order, so that the mean does not depend on chunks.
  private mutating func add(_ points: Tensor) {
    let (width, block) = (points.shape[1], 256)
    // A batch of one product would be cut among threads; and what is in the cache is converted and summed faster.
    let step = Swift.max(2, (1 << 17) / Swift.max(width, 1) / block) * block
    for start in stride(from: 0, to: points.batch, by: step) {
      let some = points[start..<Swift.min(start + step, points.batch)].to(.float64)
      let blocks = Swift.max(2, (some.batch + block - 1) / block)
      // Zeros change no sum.
      let whole = some.batch == blocks * block ? some : some.padded(0, 0, 0, blocks * block - some.batch)
      let found = Tensor.ones([blocks, 1, block]).matmul(whole.reshaped(blocks, block, width)).doubles
      for start in stride(from: 0, to: found.count, by: Swift.max(width, 1)) {
        for column in 0..<width { sums[column] += found[start + column] }
      }
    }
  }

  private func isKnown(_ range: Range<Int>) -> Bool {
    var row = base.row(of: range.lowerBound)
    let last = base.row(of: range.upperBound - 1)
    while row <= last {
      let source = base.rows.source(of: row)
      guard source.row + min(source.left, last + 1 - row) <= known[source.file] ?? 0 else { return false }
      row += source.left
    }
    return true
  }

  private mutating func know(_ range: Range<Int>) {
    var row = base.row(of: range.lowerBound)
    let last = base.row(of: range.upperBound - 1)
    // Where rows are left out nothing is known of those between.
    guard last - row + 1 == range.count else { return }
    while row <= last {
      let source = base.rows.source(of: row)
      let end = source.row + min(source.left, last + 1 - row)
      if source.row <= known[source.file] ?? 0 { known[source.file] = max(end, known[source.file] ?? 0) }
      row += source.left
    }
  }
}

/// That rows of a file are numbers a field can be made of.
struct RowCheck {
  private let points: StoredPoints

  init(of points: StoredPoints) { self.points = points }

  /// Throws where one is not; the closure knows the number of a row among all.
  func check(_ array: HostArray, row: (Int) -> Int) throws(ArrayFileError) {
    guard array.count > 0 else { return }
    var stored = Tensor(array).flattened
    switch array.elementType {
    case .float64, .float32, .uint8, .int8, .int16, .int32, .int64: break
    // The engine does not order all of them.
    default: stored = stored.to(.float64)
    }
    // Both are NaN where there is one.
    let (lowest, highest) = (stored.min().item, stored.max().item)
    let (floor, ceiling) = range
    if lowest >= floor, highest <= ceiling { return }
    let values = stored.to(.float64)
    let isRight = (values .>= floor) .& (values .<= ceiling)
    guard let index = isRight.flags.firstIndex(of: false) else { return }
    let (place, value) = (row(index / stored.shape[1]), values.reshaped(values.count)[index].item)
    if let levels = points.levels {
      throw points.rows.error(
        inRow: place,
        "has the grey level \(Int(exactly: value).map { "\($0)" } ?? "\(value)"), outside 0…\(levels.count - 1)",
        repair: "say how many levels there are, or give floating-point numbers")
    }
    guard value.isFinite else {
      throw points.rows.error(
        inRow: place, value.isNaN ? "contains NaN" : "contains infinity", repair: "remove or replace such values")
    }
    throw points.rows.error(
      inRow: place, "has values beyond \(ceiling), whose squares \(points.elementType.rawValue) cannot hold",
      repair: "scale the data")
  }

  /// What is allowed; squares must be numbers too.
  private var range: (Double, Double) {
    if let levels = points.levels { return (0, Double(levels.count - 1)) }
    let limit = points.elementType == .float32 ? 1e15 : 1e100
    return (-limit, limit)
  }
}
