import RealModule
import ScorefieldArrays
import ScorefieldPaths
import ScorefieldTensorCore

/// The points of a data set that stays on the disk, with their weights: what ``StoredField`` streams over.
///
/// Floating-point numbers are taken as they are; whole numbers are grey levels and scaled to [−1, 1]. Points without weight,
/// or of another class, are no points: they are neither read nor numbered, so that the field of a class is to the last bit
/// the field of a data set of that class alone.
///
/// - Cost: One pass over the data to make it, and the memory of a chunk, 16 MB or 256 points; with weights or labels, 16 bytes
///   per point.
public struct StoredPoints: Sendable {
  public let rows: StoredRows
  /// The type of every answer, `float32` or `float64`.
  public let elementType: ElementType
  /// The scale of grey levels; nil where the points are none.
  public let levels: GreyLevels?
  /// How many points there are.
  public let count: Int
  /// Near the mean of the points, `float64` of shape `[d]`; few digits, so that grey levels less the centre are exact.
  package let centre: Tensor
  /// Which of the rows are points, ascending; nil where all are.
  private let kept: [Int]?
  /// The levels' places on the scale.
  private let scale: [Double]?
  /// `log πᵢ`, one for each point; nil where all are equal.
  private let logWeights: [Double]?

  /// How many rows the files have.
  public var rowCount: Int { rows.shape[0] }
  /// The shape of one point.
  public var pointShape: [Int] { Array(rows.shape.dropFirst()) }
  var dimension: Int { pointShape.reduce(1, *) }

  /// Looks all points over: they are there, and real numbers.
  ///
  /// - Parameters:
  ///   - rows: The files.
  ///   - type: The type of every answer, `float32` or `float64`.
  ///   - levels: The scale, if they are grey levels.
  ///   - selection: Which of the rows are points, and with which weight.
  /// - Throws: Where one of the points cannot be read or used; it is named by its file and its row in it.
  public init(
    _ rows: StoredRows, type: ElementType = .float64, levels: GreyLevels = GreyLevels(),
    selection: PointSelection? = nil
  ) throws(ArrayFileError) {
    var survey = try PointSurvey(rows, type: type, levels: levels, selection: selection)
    while try survey.next() != nil {}
    self = survey.points
  }

  init(unchecked rows: StoredRows, type: ElementType, levels: GreyLevels, selection: PointSelection?) {
    self.rows = rows
    elementType = type
    self.levels = rows.elementType.isInteger ? levels : nil
    scale = Self.scale(self.levels, of: rows.elementType)
    (kept, logWeights) = (selection?.kept, selection?.logWeights)
    count = kept?.count ?? rows.shape[0]
    centre = .zeros([rows.shape.dropFirst().reduce(1, *)])
  }

  init(_ other: StoredPoints, centre: Tensor) {
    (rows, elementType, levels, count) = (other.rows, other.elementType, other.levels, other.count)
    (kept, logWeights, scale, self.centre) = (other.kept, other.logWeights, other.scale, centre)
  }

  // MARK: Points by number

  /// Points per chunk, whole blocks of 256, and as many for every one of the kernel's eight groups where that is not too much.
  ///
  /// Chunks decide when something is read and never what comes out.
  var chunkSize: Int {
    let size = max(dimension, 1) * max(elementType.bitWidth, rows.elementType.bitWidth) / 8
    let (room, all) = ((16 << 20) / size, 8 * 256)
    return room >= all ? room / all * all : max(1, room / 256) * 256
  }

  /// Points of consecutive numbers, `[n, d]`.
  func points(_ range: Range<Int>) throws(ArrayFileError) -> Tensor {
    converted(try stored(range))
  }

  /// The same as the files hold them.
  func stored(_ range: Range<Int>) throws(ArrayFileError) -> HostArray {
    if let kept { try rows.rows(Array(kept[range])) } else { try rows.rows(in: range) }
  }

  /// Rows of the files that were looked over, as a model sees them, `[n, d]`.
  func converted(_ stored: HostArray) -> Tensor {
    guard let levels else { return Tensor(stored).to(elementType).flattened }
    // One look per level in place of six passes over the numbers.
    guard let scale else { return levels.scaled(Tensor(stored), type: elementType).flattened }
    let bytes = Bytes(count: stored.count * elementType.bitWidth / 8) { buffer in
      stored.withUnsafeBytes { source in
        switch (stored.elementType, elementType) {
        case (.uint8, .float32): Self.look(source, as: UInt8.self, up: scale.map(Float.init), buffer)
        case (.uint8, _): Self.look(source, as: UInt8.self, up: scale, buffer)
        case (_, .float32): Self.look(source, as: UInt16.self, up: scale.map(Float.init), buffer)
        default: Self.look(source, as: UInt16.self, up: scale, buffer)
        }
      }
    }
    return Tensor(HostArray(elementType, shape: stored.shape, bytes: bytes)).flattened
  }

  private static func look<Level: FixedWidthInteger, Value>(
    _ source: UnsafeRawBufferPointer, as _: Level.Type, up scale: [Value], _ destination: UnsafeMutableRawBufferPointer
  ) {
    let (levels, values) = (source.bindMemory(to: Level.self), destination.bindMemory(to: Value.self))
    scale.withUnsafeBufferPointer { scale in
      for index in levels.indices { values[index] = scale[Int(levels[index])] }
    }
  }

  /// What every number of a small type is on the scale; nil for other types.
  private static func scale(_ levels: GreyLevels?, of type: ElementType) -> [Double]? {
    guard let levels, type == .uint8 || type == .uint16 else { return nil }
    let known = levels.scaled(Tensor(Array(0..<min(levels.count, 1 << type.bitWidth)))).doubles
    return known + Array(repeating: .nan, count: 1 << type.bitWidth - known.count)
  }

  /// The logarithms of the weights of points, `float64` of shape `[n]`; nil where all are equal.
  func logWeights(_ range: Range<Int>) -> Tensor? { logWeights.map { Tensor(Array($0[range])) } }

  var hasWeights: Bool { logWeights != nil }

  /// The row of a point.
  func row(of point: Int) -> Int { kept?[point] ?? point }

  // MARK: Rows by position

  /// Rows of the files, whether they are points or not, as a model sees them, shape `[B, …]`.
  ///
  /// - Parameter positions: Their numbers among all rows.
  /// - Returns: The rows, in the type of every answer.
  /// - Throws: Where one cannot be read or is not finite.
  public func rows(_ positions: [Int]) throws(ArrayFileError) -> Tensor {
    let stored = try rows.rows(positions)
    try RowCheck(of: self).check(stored) { positions[$0] }
    return converted(stored).reshaped([positions.count] + pointShape)
  }

  /// The numbers of the points at rows, −1 where there is none.
  func numbers(of positions: [Int]) -> [Int] {
    guard let kept else { return positions }
    return positions.map { position in
      var (low, high) = (0, kept.count)
      while low < high {
        let middle = (low + high) / 2
        if kept[middle] < position { low = middle + 1 } else { high = middle }
      }
      return low < kept.count && kept[low] == position ? low : -1
    }
  }

  /// The logarithm of the weight of all points but one; nil where nothing is left.
  func logRemainder(without point: Int) -> Double? {
    guard point >= 0 else { return 0 }
    guard count > 1 else { return nil }
    guard let logWeights else { return Double.log(onePlus: -1 / Double(count)) }
    // Not 1 − w, which cancels where one point has nearly all of the weight.
    let own = Double.exp(logWeights[point])
    guard own > 0.5 else { return Double.log(onePlus: -own) }
    var sum = 0.0
    for index in logWeights.indices where index != point { sum += .exp(logWeights[index]) }
    return .log(sum)
  }
}
