import ScorefieldArrays
import ScorefieldPaths
import ScorefieldTensorCore

/// Samples in a file or a folder, read when they are asked for.
///
/// Floating-point numbers are taken as they are; whole numbers are grey levels and scaled to [−1, 1].
///
/// - Cost: the memory of a batch, however large the file.
public struct StoredData: DataSource {
  private let rows: any ArrayRows
  /// The scale of the grey levels; nil where the samples are none.
  public let levels: GreyLevels?

  public var count: Int { rows.shape[0] }
  public var sampleShape: [Int] { Array(rows.shape.dropFirst()) }

  /// Takes the rows of an array as samples.
  ///
  /// - Parameters:
  ///   - rows: A file or a folder.
  ///   - levels: The scale, if they are grey levels.
  /// - Throws: Where there are none, or they are no real numbers.
  public init(_ rows: any ArrayRows, levels: GreyLevels = GreyLevels()) throws(ArrayFileError) {
    guard !rows.shape.isEmpty else {
      throw ArrayFileError(rows.path, .badData, "is a single number", repair: "give an array of shape [B, …]")
    }
    guard rows.shape.reduce(1, *) > 0 else {
      throw ArrayFileError(rows.path, .badData, "is empty (shape \(rows.shape))", repair: "give at least one element")
    }
    guard rows.elementType.isInteger || rows.elementType.isFloatingPoint, Tensor.supports(rows.elementType) else {
      throw ArrayFileError(
        rows.path, .badData, "holds \(rows.elementType.rawValue) values", repair: "give real numbers or grey levels")
    }
    self.rows = rows
    self.levels = rows.elementType.isInteger ? levels : nil
  }

  /// Takes the rows of a `.npy` file as samples; it stays on the disk.
  public init(npy path: String, levels: GreyLevels = GreyLevels()) throws(ArrayFileError) {
    try self.init(NPYFile(path), levels: levels)
  }

  public func batch(_ positions: [Int]) throws(ArrayFileError) -> Tensor {
    let stored = Tensor(try rows.rows(positions))
    guard positions.count > 0 else { return stored.to(.float32) }
    if let levels {
      let values = stored.to(.float64)
      let isLevel = (values .>= 0) .& (values .<= Double(levels.count - 1))
      if let (row, value) = first(of: values, unless: isLevel) {
        let level = Int(exactly: value).map { "\($0)" } ?? "\(value)"
        throw rows.error(
          inRow: positions[row], "has the grey level \(level), outside 0…\(levels.count - 1)",
          repair: "say how many levels there are, or give floating-point numbers")
      }
      return levels.scaled(values, type: .float32)
    }
    let values = stored.to(.float32)
    if let (row, value) = first(of: stored.to(.float64), unless: values.isFinite()) {
      throw rows.error(
        inRow: positions[row],
        value.isNaN ? "contains NaN" : value.isInfinite ? "contains infinity" : "has values too large for float32",
        repair: value.isFinite ? "scale the data" : "remove or replace such values")
    }
    return values
  }

  /// The first element that is not as it should be, and the sample it is in.
  private func first(of values: Tensor, unless isRight: Tensor) -> (row: Int, value: Double)? {
    guard !isRight.all(), let index = isRight.flags.firstIndex(of: false) else { return nil }
    return (index / (values.count / values.batch), values.reshaped(values.count)[index].item)
  }
}
