import ScorefieldArrays

// Shapes: how elements are laid out, joined and taken apart.

extension Tensor {
  /// The same elements in another shape; one length may be −1.
  public func reshaped(_ shape: Int...) -> Tensor { reshaped(shape) }
  /// The same elements in another shape; one length may be −1.
  public func reshaped(_ shape: [Int]) -> Tensor { Self.reshape(argument, .ints(shape)) }
  /// All axes but the first as one, `[B, …]` → `[B, d]`; a vector `[B]` becomes `[B, 1]`.
  public var flattened: Tensor { reshaped([batch, shape.dropFirst().reduce(1, *)]) }
  /// The axes in another order.
  public func permuted(_ axes: Int...) -> Tensor { Self.permute(argument, .ints(axes)) }
  /// The last two axes exchanged.
  public var transposed: Tensor { Self.transpose(argument, .int(-2), .int(-1)) }
  /// Two axes exchanged.
  public func swapped(_ a: Int, _ b: Int) -> Tensor { Self.transpose(argument, .int(a), .int(b)) }
  /// A new axis of length 1.
  public func expanded(at axis: Int) -> Tensor { Self.unsqueeze(argument, .int(axis)) }
  /// Without an axis of length 1.
  public func squeezed(_ axis: Int) -> Tensor { Self.squeeze(argument, .int(axis)) }
  /// Axes of length 1 repeated to a shape, without a copy.
  public func broadcast(to shape: [Int]) -> Tensor { Self.expand(argument, .ints(shape)) }
  /// The whole tensor repeated along each axis.
  public func tiled(_ counts: Int...) -> Tensor { Self.tile(argument, .ints(counts)) }
  /// Each slice of an axis `count` times, one after another.
  public func repeated(_ count: Int, _ axis: Int) -> Tensor { Self.repeatInterleave(argument, .int(count), .int(axis)) }
  /// The elements in reverse order along axes.
  public func reversed(_ axes: Int...) -> Tensor { Self.flip(argument, .ints(axes)) }
  /// Rotated along an axis.
  public func rolled(by shift: Int, _ axis: Int) -> Tensor { Self.roll(argument, .ints([shift]), .ints([axis])) }

  /// Joined along an axis.
  public static func concatenated(_ tensors: [Tensor], _ axis: Int = 0) -> Tensor {
    concatenate(.tensors(tensors), .int(axis))
  }
  /// Joined along a new axis.
  public static func stacked(_ tensors: [Tensor], _ axis: Int = 0) -> Tensor { stack(.tensors(tensors), .int(axis)) }
  /// Parts of the given length along an axis; the last may be shorter.
  public func split(_ length: Int, _ axis: Int = 0) -> [Tensor] {
    let whole = shape[axis < 0 ? rank + axis : axis]
    return Self.split.all(argument, .int(length), .int(axis), capacity: Swift.max(1, (whole + length - 1) / length))
  }

  /// `count` elements from `start` along an axis.
  public func narrowed(_ axis: Int, from start: Int, count: Int) -> Tensor {
    Self.narrow(argument, .int(axis), .int(start), .int(count))
  }
  /// The slices of an axis at the given `int64` positions.
  public func selecting(_ positions: Tensor, _ axis: Int = 0) -> Tensor {
    Self.indexSelect(argument, .int(axis), positions.argument)
  }
  /// A new last axis of `count`, 1 at the place each `int64` element names and 0 elsewhere.
  public func oneHot(_ count: Int) -> Tensor { Self.oneHot(argument, .int(count)) }
  /// One element per position along an axis, at the place `positions` names.
  public func gathered(_ positions: Tensor, _ axis: Int) -> Tensor {
    Self.gather(argument, .int(axis), positions.argument)
  }

  /// One entry of each row of a matrix, `[B, K] → [B]`: that of its own column, or all of one column.
  package func entries(_ columns: [Int]) -> Tensor {
    let chosen = Tensor(columns.count == 1 ? Array(repeating: columns[0], count: batch) : columns).to(device)
    return gathered(chosen.expanded(at: 1), 1).squeezed(1)
  }
  /// The `count` largest (or smallest) along the last axis, in order, and where they are.
  public func top(_ count: Int, largest: Bool = true) -> (values: Tensor, positions: Tensor) {
    let result = Self.topk.all(argument, .int(count), .int(-1), .flag(largest), capacity: 2)
    return (result[0], result[1])
  }
  /// Sorted along an axis, and where the elements were; equal ones keep their order.
  public func sorted(_ axis: Int = -1, descending: Bool = false) -> (values: Tensor, positions: Tensor) {
    let result = Self.sort.all(argument, .flag(true), .int(axis), .flag(descending), capacity: 2)
    return (result[0], result[1])
  }
  /// Without the elements above (or below) a diagonal of the last two axes.
  public func triangle(lower: Bool, diagonal: Int = 0) -> Tensor {
    (lower ? Self.lowerTriangle : Self.upperTriangle)(argument, .int(diagonal))
  }
  /// The diagonal of the last two axes.
  public var diagonal: Tensor { Self.diagonal(argument, .int(0), .int(-2), .int(-1)) }
  /// Square matrices with the last axis on their diagonal.
  public var diagonalMatrix: Tensor { Self.diagonalEmbedding(argument) }

  private static let reshape = Operator("aten::reshape")
  private static let permute = Operator("aten::permute", as: "permuted")
  private static let transpose = Operator("aten::transpose", "int")
  private static let unsqueeze = Operator("aten::unsqueeze", as: "expanded")
  private static let squeeze = Operator("aten::squeeze", "dim", as: "squeezed")
  private static let expand = Operator("aten::expand", as: "broadcast")
  private static let tile = Operator("aten::tile", as: "tiled")
  private static let repeatInterleave = Operator("aten::repeat_interleave", "self_int", as: "repeated")
  private static let flip = Operator("aten::flip", as: "reversed")
  private static let roll = Operator("aten::roll", as: "rolled")
  private static let concatenate = Operator("aten::cat", as: "concatenated")
  private static let stack = Operator("aten::stack", as: "stacked")
  private static let split = Operator("aten::split", "Tensor")
  private static let narrow = Operator("aten::narrow", as: "narrowed")
  private static let indexSelect = Operator("aten::index_select", as: "selecting")
  private static let gather = Operator("aten::gather", as: "gathered")
  private static let oneHot = Operator("aten::one_hot", as: "oneHot")
  private static let topk = Operator("aten::topk", as: "top")
  private static let sort = Operator("aten::sort", "stable", as: "sorted")
  private static let lowerTriangle = Operator("aten::tril", as: "triangle")
  private static let upperTriangle = Operator("aten::triu", as: "triangle")
  private static let diagonal = Operator("aten::diagonal")
  private static let diagonalEmbedding = Operator("aten::diag_embed", as: "diagonalMatrix")
}
