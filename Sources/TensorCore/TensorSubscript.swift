import ScorefieldArrays

/// What may stand between a tensor's brackets: an `Int`, a range, ``Axis``, a tensor of positions or of truth values.
///
/// As in NumPy, negative numbers count from the end, ranges are cut at the end of the axis, and tensors of positions
/// take their common shape. An `Int` takes its axis away before tensors are looked at, as in PyTorch.
public protocol TensorSubscript {
  var tensorIndex: TensorIndex { get }
}

/// One resolved index; see ``TensorSubscript``.
public enum TensorIndex {
  case position(Int)
  case range(from: Int, to: Int?, step: Int)
  case new
  case rest
  case tensor(Tensor)
}

/// Indices that are no numbers.
public enum Axis: TensorSubscript {
  /// The whole axis.
  case all
  /// A new axis of length 1.
  case new
  /// All axes that are not named.
  case rest
  /// Every `by`-th element.
  case every(Int)

  public var tensorIndex: TensorIndex {
    switch self {
    case .all: .range(from: 0, to: nil, step: 1)
    case .new: .new
    case .rest: .rest
    case .every(let step): .range(from: 0, to: nil, step: step)
    }
  }
}

extension Int: TensorSubscript {
  public var tensorIndex: TensorIndex { .position(self) }
}
extension Range: TensorSubscript where Bound == Int {
  public var tensorIndex: TensorIndex { .range(from: lowerBound, to: upperBound, step: 1) }
}
extension ClosedRange: TensorSubscript where Bound == Int {
  // −1 is the last element, after which there is no number to stop at.
  public var tensorIndex: TensorIndex { .range(from: lowerBound, to: upperBound == -1 ? nil : upperBound + 1, step: 1) }
}
extension PartialRangeFrom: TensorSubscript where Bound == Int {
  public var tensorIndex: TensorIndex { .range(from: lowerBound, to: nil, step: 1) }
}
extension PartialRangeUpTo: TensorSubscript where Bound == Int {
  public var tensorIndex: TensorIndex { .range(from: 0, to: upperBound, step: 1) }
}
extension PartialRangeThrough: TensorSubscript where Bound == Int {
  public var tensorIndex: TensorIndex { .range(from: 0, to: upperBound == -1 ? nil : upperBound + 1, step: 1) }
}
extension Tensor: TensorSubscript {
  public var tensorIndex: TensorIndex { .tensor(self) }
}

extension Tensor {
  /// The part of a tensor that the indices name, one per axis from the first.
  public subscript(_ indices: any TensorSubscript...) -> Tensor {
    let indices = indices.map(\.tensorIndex)
    let named = indices.reduce(0) { count, index in
      switch index {
      case .new, .rest: count
      case .tensor(let mask) where mask.elementType == .bool: count + mask.rank
      default: count + 1
      }
    }
    guard named <= rank else { fatalError("subscript(\(shape)): \(named) indices for \(rank) axes") }
    guard indices.count(where: { if case .rest = $0 { true } else { false } }) <= 1 else {
      fatalError("subscript(\(shape)): .rest stands twice")
    }

    var result = self
    var axis = 0
    // What libtorch is told of the axes before `covered`: one entry each, but one for all the axes of a mask.
    var gaps: [Tensor?] = []
    var covered = 0
    for index in indices {
      switch index {
      case .position(let position):
        result = Self.select(result.argument, .int(axis), .int(position))
        continue
      case .range(let from, let to, let step):
        result = Self.slice(result.argument, .int(axis), .int(from), .optional(to), .int(step))
      case .new: result = result.expanded(at: axis)
      case .rest: axis += rank - named - 1
      case .tensor(let positions):
        gaps += [Tensor?](repeating: nil, count: axis - covered)
        // libtorch takes bytes for truth values.
        gaps.append(positions.elementType.isInteger ? positions.to(.int64) : positions)
        if positions.elementType == .bool { axis += positions.rank - 1 }
        covered = axis + 1
      }
      axis += 1
    }
    return gaps.isEmpty ? result : Self.index(result.argument, .gaps(gaps))
  }

  private static let select = Operator("aten::select", "int", as: "subscript")
  private static let slice = Operator("aten::slice", "Tensor", as: "subscript")
  private static let index = Operator("aten::index", "Tensor", as: "subscript")
}
