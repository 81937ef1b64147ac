import ScorefieldTensorCore

/// A plane through the centre of a data set, the coordinates of the data in it, and what it leaves of each.
///
///     y = c + Q z + e,   QᵀQ = I,   Qᵀe = 0
///
/// Everything is kept in `float64`, so that what `float32` rounded away from a plane is all that is found beside it.
///
/// - Cost: `16 N d r` operations and `O(N r)` memory beside the data.
///
/// Source: Halko, Martinsson & Tropp 2011, doi:10.1137/090771806, algorithm 4.4 with one iteration, from rows of the data.
struct Subspace: Sendable {
  /// `c`, `[d]`, and `Qᵀ`, `[r, d]`.
  let centre, axes: Tensor
  /// `z`, `[N, r]`, and `|e|`, `[N]`; let go where only the plane is needed.
  private(set) var coordinates, residuals: Tensor
  /// `√(mean |y − c|²)` and `max |y − c|`.
  let scale, radius: Double
  /// `max |e|`.
  let largestResidual: Double

  var rank: Int { axes.shape[0] }

  /// The coordinates of points, `[B, r]`, and their distances from the plane, `[B]`.
  func split(_ points: Tensor) -> (inside: Tensor, outside: Tensor) {
    let deviations = points - centre
    let inside = deviations.matmul(axes.transposed)
    return (inside, (deviations - inside.matmul(axes)).norm(-1))
  }

  /// The plane without what lies on it.
  var bare: Subspace {
    var plane = self
    (plane.coordinates, plane.residuals) = (coordinates[..<0], residuals[..<0])
    return plane
  }

  private static let tile = 4096

  /// The plane that loses least, of the lowest dimension that loses nothing but roundings, or of a largest dimension.
  ///
  /// - Parameters:
  ///   - rows: The data, `[N, d]`.
  ///   - limit: The largest dimension of the plane.
  init(of rows: Tensor, upTo limit: Int) {
    let (count, dimension) = (rows.batch, rows.shape[1])
    let (type, device) = (rows.elementType, rows.device)
    let tiles = stride(from: 0, to: count, by: Self.tile).map { $0..<Swift.min($0 + Self.tile, count) }
    // To the last digit: a centre beside the plane would be one dimension more.
    let centre =
      tiles.reduce(Tensor.zeros([dimension], on: device)) { $0 + rows[$1].to(.float64).sum(0) } / Double(count)
    let squares = Tensor.concatenated(tiles.map { (rows[$0].to(.float64) - centre).squared().sum(-1) })
    (scale, radius) = (squares.mean().item.squareRoot(), squares.max().item.squareRoot())
    self.centre = centre

    let limit = Swift.min(limit, dimension)
    var rank = limit >= dimension ? dimension : Swift.min(32, limit)
    while true {
      let axes =
        rank == dimension
        ? Tensor.identity(dimension, on: device) : Self.axes(of: rows, centre, rank, tiles)
      let parts = tiles.map { range -> (Tensor, Tensor) in
        let deviations = rows[range].to(.float64) - centre
        let coordinates = deviations.matmul(axes.transposed)
        return (coordinates, rank == dimension ? squares[range] * 0 : (deviations - coordinates.matmul(axes)).norm(-1))
      }
      let residuals = Tensor.concatenated(parts.map(\.1))
      let coordinates = Tensor.concatenated(parts.map(\.0))
      let largest = residuals.max().item
      let roundings = scale * (type == .float64 ? 0x1p-46 : 0x1p-22)
      if largest <= roundings, rank < dimension {
        // Doubling went too far: the directions that hold nothing but roundings go.
        // Not the eigenvalues of a square, which hold half the digits.
        let (_, values, rows) = coordinates.qr().r.svd()
        let kept = Swift.max(1, (values .> Double(count).squareRoot() * roundings / 2).to(.int64).sum().integers[0])
        let turn = rows[..<kept].transposed
        self.axes = turn.transposed.matmul(axes)
        self.coordinates = coordinates.matmul(turn)
        let rest = coordinates - self.coordinates.matmul(turn.transposed)
        self.residuals = (residuals.squared() + rest.squared().sum(-1)).sqrt()
        largestResidual = self.residuals.max().item
        return
      }
      if rank == limit {
        (self.axes, self.coordinates, self.residuals, largestResidual) = (axes, coordinates, residuals, largest)
        return
      }
      rank = Swift.min(2 * rank, limit)
    }
  }

  private static func axes(of rows: Tensor, _ centre: Tensor, _ rank: Int, _ tiles: [Range<Int>]) -> Tensor {
    // Rows in no order that the data could have.
    let start = Tensor((0..<rank).map { ($0 * 2_654_435_761) % rows.batch })
    var basis = (rows.selecting(start).to(.float64) - centre).transposed.qr().q.transposed
    for _ in 0..<2 {
      // C Q, a tile at a time.
      let images = tiles.reduce(Tensor.zeros(like: basis)) { sum, range in
        let deviations = rows[range].to(.float64) - centre
        return sum + deviations.matmul(basis.transposed).transposed.matmul(deviations)
      }
      basis = images.transposed.qr().q.transposed
    }
    return basis
  }
}
