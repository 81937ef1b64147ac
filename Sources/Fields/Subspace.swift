import ScorefieldTensorCore

/// A plane through the centre of a data set, the coordinates of the data in it, and what it leaves of each.
///
///     y = c + Q z + e,   QᵀQ = I,   Qᵀe = 0
///
/// Everything is kept in `float64`, so that what `float32` rounded away from a plane is all that is found beside it.
///
/// - Cost: `4 N d r` operations, and `O(N r)` memory beside the data.
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
  /// It is sought in some of the rows; what it leaves of each row is measured of all, and rows far beside it are looked at too.
  ///
  /// - Parameters:
  ///   - rows: The data, `[N, d]`.
  ///   - limit: The largest dimension of the plane.
  init(of rows: Tensor, upTo limit: Int) {
    let (count, dimension) = (rows.batch, rows.shape[1])
    let device = rows.device
    let tiles = stride(from: 0, to: count, by: Self.tile).map { $0..<Swift.min($0 + Self.tile, count) }
    // To the last digit: a centre beside the plane would be one dimension more.
    let centre =
      tiles.reduce(Tensor.zeros([dimension], on: device)) { $0 + rows[$1].to(.float64).sum(0) } / Double(count)
    let squares = Tensor.concatenated(tiles.map { (rows[$0].to(.float64) - centre).squared().sum(-1) })
    (scale, radius) = (squares.mean().item.squareRoot(), squares.max().item.squareRoot())
    self.centre = centre
    guard limit < dimension else {
      axes = .identity(dimension, on: device)
      coordinates = .concatenated(tiles.map { rows[$0].to(.float64) - centre })
      (residuals, largestResidual) = (squares * 0, 0)
      return
    }

    let roundings = scale * (rows.elementType == .float64 ? 0x1p-46 : 0x1p-22)
    // Rows in no order that the data could have.
    func some(_ wanted: Int) -> [Int] { (0..<Swift.min(wanted, count)).map { ($0 * 2_654_435_761) % count } }
    var chosen = some(2 * limit)
    var attempt = 1
    while true {
      let (axes, isAll) = Self.axes(of: rows, centre, at: chosen, upTo: limit, roundings)
      // What rows have beside a plane of full dimension is for the plane to be turned by.
      let turned = isAll ? axes : Self.turned(axes, towards: rows.selecting(Tensor(some(Self.turning))), centre)
      let parts = tiles.map { range -> (Tensor, Tensor) in
        let deviations = rows[range].to(.float64) - centre
        let coordinates = deviations.matmul(turned.transposed)
        return (coordinates, (deviations - coordinates.matmul(turned)).norm(-1))
      }
      let residuals = Tensor.concatenated(parts.map(\.1))
      let largest = residuals.max().item
      guard isAll, largest > roundings, attempt < Self.attempts else {
        (self.axes, self.coordinates) = (turned, .concatenated(parts.map(\.0)))
        (self.residuals, largestResidual) = (residuals, largest)
        return
      }
      let farthest = residuals.top(Swift.min(limit, count), largest: true).positions.integers
      chosen = Array(Set(chosen).union(farthest)).sorted()
      attempt += 1
    }
  }

  /// How many rows a plane of full dimension is turned by, and how often rows beside the plane are looked at.
  private static let turning = 8192
  private static let attempts = 3

  /// The axes of some rows, `[r, d]`, those of most variance first, and whether they are all these rows have.
  private static func axes(
    of rows: Tensor, _ centre: Tensor, at chosen: [Int], upTo limit: Int, _ roundings: Double
  ) -> (axes: Tensor, isAll: Bool) {
    let deviations = rows.selecting(Tensor(chosen)).to(.float64) - centre
    // Not the eigenvalues of a square, which hold half the digits.
    let (q, r) = deviations.transposed.qr()
    let (turn, values, _) = r.svd()
    let held = (values .> Double(chosen.count).squareRoot() * roundings / 2).to(.int64).sum().integers[0]
    let rank = Swift.min(Swift.max(held, 1), limit)
    let axes = q.matmul(turn.narrowed(1, from: 0, count: rank)).transposed
    return (axes, held <= limit)
  }

  /// One iteration towards the axes of most variance of more rows.
  private static func turned(_ axes: Tensor, towards rows: Tensor, _ centre: Tensor) -> Tensor {
    let images = stride(from: 0, to: rows.batch, by: tile).reduce(Tensor.zeros(like: axes)) { sum, first in
      let deviations = rows[first..<Swift.min(first + tile, rows.batch)].to(.float64) - centre
      return sum + deviations.matmul(axes.transposed).transposed.matmul(deviations)
    }
    return images.transposed.qr().q.transposed
  }
}
