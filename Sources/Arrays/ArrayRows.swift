/// An array whose rows, along its first axis, are read when they are asked for.
public protocol ArrayRows: Sendable {
  /// The file or folder that holds it.
  var path: String { get }
  var elementType: ElementType { get }
  /// The number of rows, and the shape of each.
  var shape: [Int] { get }

  /// The rows at the given positions, one after another, shape `[positions.count, …]`.
  ///
  /// - Parameter positions: Where they are; each is at least 0 and less than the first length of ``shape``.
  /// - Returns: Copies of the rows.
  /// - Throws: Where one cannot be read.
  func rows(_ positions: [Int]) throws(ArrayFileError) -> HostArray

  /// That there is something wrong with the values of a row.
  func error(inRow position: Int, _ problem: String, repair: String) -> ArrayFileError
}

extension ArrayRows {
  public func error(inRow position: Int, _ problem: String, repair: String) -> ArrayFileError {
    ArrayFileError(path, .badData, "row \(position) \(problem)", repair: repair)
  }
}
