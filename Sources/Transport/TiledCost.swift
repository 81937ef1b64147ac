import ScorefieldTensorCore

/// A cost a few rows at a time: of a matrix, or of points, whose distances are computed when they are wanted.
enum TiledCost: Sendable {
  case matrix(Tensor)
  case clouds(Tensor, Tensor)

  /// Elements of a tile.
  static let tileSize = 1 << 19

  static func points(_ x: Tensor, _ y: Tensor) -> TiledCost {
    let (rows, columns) = (x.to(.float64).flattened, y.to(.float64).flattened)
    guard rows.shape[1] == columns.shape[1] else {
      fatalError("squaredCost(\(x.shape), \(y.shape)): the points have different dimensions")
    }
    return .clouds(rows, columns)
  }

  var rows: Int {
    switch self {
    case .matrix(let cost): cost.shape[0]
    case .clouds(let x, _): x.batch
    }
  }
  var columns: Int {
    switch self {
    case .matrix(let cost): cost.shape[1]
    case .clouds(_, let y): y.batch
    }
  }
  var device: Device {
    switch self {
    case .matrix(let cost): cost.device
    case .clouds(let x, _): x.device
    }
  }
  var transposed: TiledCost {
    switch self {
    case .matrix(let cost): .matrix(cost.transposed)
    case .clouds(let x, let y): .clouds(y, x)
    }
  }
  var largest: Double { reduced { tile, _ in tile.abs().max(-1) }.max().item }

  /// What a body makes of the rows of every tile, one after another.
  func reduced(_ body: (Tensor, Range<Int>) -> Tensor) -> Tensor {
    let height = max(1, Self.tileSize / columns)
    return .concatenated(
      stride(from: 0, to: rows, by: height).map { start in
        let range = start..<min(start + height, rows)
        return switch self {
        case .matrix(let cost): body(cost[range], range)
        case .clouds(let x, let y): body(squaredCost(x[range], y), range)
        }
      })
  }

  /// `−ε log Σⱼ wⱼ exp((gⱼ − Cᵢⱼ)/ε)`, shape `[rows]`.
  func softMinimum(_ g: Tensor, _ logWeights: Tensor, _ epsilon: Double) -> Tensor {
    let offsets = g / epsilon + logWeights
    return reduced { tile, _ in -epsilon * (offsets - tile / epsilon).logSumExp(-1) }
  }
}
