import RealModule
import ScorefieldArrays
import ScorefieldTensorCore

/// Which rows of a data set are points, and with which weights.
public struct PointSelection: Sendable {
  /// How many rows there are.
  public let count: Int
  /// The rows that are points, ascending; nil where all are.
  let kept: [Int]?
  /// `log πᵢ` of those, their sum of weights being 1; nil where all are equal.
  let logWeights: [Double]?

  /// Reads weights and classes.
  ///
  /// - Parameters:
  ///   - count: How many rows there are.
  ///   - weights: A `.npy` file of shape `[count]`: relative weights, not negative and not all zero; equal where left out.
  ///   - labels: A `.npy` file of shape `[count]`: the class of each row, a whole number.
  ///   - label: The class whose rows are points.
  /// - Throws: Where there are more or fewer than rows, or none is left.
  public init(
    count: Int, weights: String? = nil, labels: String? = nil, class label: Int? = nil
  ) throws(ArrayFileError) {
    var isKept = [Bool](repeating: true, count: weights == nil && labels == nil ? 0 : count)
    var values: [Double] = []
    if let weights {
      values = try Self.column(weights, count: count, "weight").to(.float64).doubles
      for (row, value) in values.enumerated() {
        guard value >= 0, value.isFinite else {
          throw ArrayFileError(
            weights, .badData, "row \(row) is the weight \(value)", repair: "give weights that are numbers from 0")
        }
        // A point without weight is no point: its logit would be −∞.
        if value == 0 { isKept[row] = false }
      }
    }
    if let labels {
      let column = try Self.column(labels, count: count, "label")
      guard column.elementType.isInteger else {
        throw ArrayFileError(
          labels, .badData, "holds \(column.elementType.rawValue) values", repair: "give whole numbers, one per row")
      }
      for (row, value) in column.integers.enumerated() where value != label { isKept[row] = false }
    }
    self.count = count
    let kept = isKept.indices.filter { isKept[$0] }
    guard weights == nil && labels == nil || !kept.isEmpty else {
      let problem = label.map { "leaves no row of class \($0)" } ?? "has no weight above 0"
      throw ArrayFileError(labels ?? weights!, .badData, problem, repair: "give at least one row some weight")
    }
    self.kept = isKept.contains(false) ? kept : nil
    guard weights != nil else {
      logWeights = nil
      return
    }
    let positive = kept.map { values[$0] }
    // Relative to the largest, so that no sum overflows.
    let largest = positive.max() ?? 1
    let total = positive.reduce(0) { $0 + $1 / largest }
    logWeights = positive.map { .log($0 / largest) - .log(total) }
  }

  /// The rows in a range that are points.
  public func rows(in range: Range<Int>) -> [Int] { kept?.filter(range.contains) ?? Array(range) }

  /// The weights of all rows, `[count]`, 0 for those that are no points; nil where all are equal.
  public var weights: Tensor? {
    guard kept != nil || logWeights != nil else { return nil }
    var values = [Double](repeating: 0, count: count)
    for (index, row) in (kept ?? Array(0..<count)).enumerated() {
      values[row] = logWeights.map { .exp($0[index]) } ?? 1
    }
    return Tensor(values)
  }

  private static func column(
    _ path: String, count: Int, _ one: String
  ) throws(ArrayFileError) -> Tensor {
    let array = try NPY.read(path)
    guard array.elementType.isInteger || array.elementType.isFloatingPoint, Tensor.supports(array.elementType) else {
      throw ArrayFileError(path, .badData, "holds \(array.elementType.rawValue) values", repair: "give real numbers")
    }
    guard array.shape == [count] else {
      throw ArrayFileError(
        path, .badData, "has shape \(array.shape), but there are \(count) rows",
        repair: "give one \(one) for each row, shape [\(count)]")
    }
    return Tensor(array)
  }
}
