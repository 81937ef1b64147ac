import ScorefieldArrays
import ScorefieldTensorCore

/// What is known of each sample beside itself.
public enum Labels: Sendable {
  /// The number of its class, from 0.
  case classes([Int])
  /// Numbers, shape `[count, width]`.
  case vectors(Tensor)

  /// Reads the labels of some data: whole numbers `[count]` are classes, all else vectors.
  ///
  /// - Parameters:
  ///   - path: A `.npy` file of shape `[count]` or `[count, width]`.
  ///   - count: How many samples there are.
  /// - Throws: Where there are more or fewer labels, or one is negative or not finite.
  public init(npy path: String, count: Int) throws(ArrayFileError) {
    let array = try NPY.read(path)
    guard array.elementType.isInteger || array.elementType.isFloatingPoint, Tensor.supports(array.elementType) else {
      throw ArrayFileError(
        path, .badData, "holds \(array.elementType.rawValue) values", repair: "give classes or real numbers")
    }
    guard (1...2).contains(array.shape.count), array.count > 0 else {
      throw ArrayFileError(
        path, .badData, "has shape \(array.shape)", repair: "give labels of shape [\(count)] or [\(count), width]")
    }
    guard array.shape[0] == count else {
      throw ArrayFileError(
        path, .badData, "has \(array.shape[0]) labels, but there are \(count) samples",
        repair: "give one label for each sample")
    }
    let values = Tensor(array)
    if array.elementType.isInteger, array.shape.count == 1 {
      let classes = values.integers
      if let row = classes.firstIndex(where: { $0 < 0 }) {
        throw ArrayFileError(
          path, .badData, "row \(row) is the class \(classes[row])", repair: "number the classes from 0")
      }
      self = .classes(classes)
    } else {
      let vectors = values.to(.float32).reshaped(count, -1)
      if let row = vectors.isFinite().all(1).flags.firstIndex(of: false) {
        throw ArrayFileError(
          path, .badData, "row \(row) is not finite", repair: "remove or replace such values")
      }
      self = .vectors(vectors)
    }
  }

  /// How many samples have one.
  public var count: Int {
    switch self {
    case .classes(let classes): classes.count
    case .vectors(let vectors): vectors.batch
    }
  }

  /// How many classes there are, or how many numbers in a vector.
  public var width: Int {
    switch self {
    case .classes(let classes): (classes.max() ?? -1) + 1
    case .vectors(let vectors): vectors.shape[1]
    }
  }

  /// How many classes there are; nil where labels are vectors.
  public var classCount: Int? {
    if case .classes = self { width } else { nil }
  }

  /// The labels of samples: classes, `int64` of shape `[B]`, or vectors, shape `[B, width]`.
  public func batch(_ positions: [Int]) -> Tensor {
    switch self {
    case .classes(let classes): Tensor(positions.map { classes[$0] })
    case .vectors(let vectors): vectors.selecting(Tensor(positions))
    }
  }
}
