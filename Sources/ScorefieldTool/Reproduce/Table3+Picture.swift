import RealModule
import Scorefield

extension Table3 {
  /// What the flow does with the plane: ways, a grid that is carried along, and its Jacobians as ellipses.
  struct Picture {
    /// `σ/α` down to which the grid is carried; further down it collapses onto the points.
    static let ratio = 0.15
    /// The full index, in percent, from which an ellipse is all red.
    static let red = 5.0

    struct Panel {
      let data: DataSet
      let ways, grid: PlanePicture
      /// The largest full index of the ellipses, in percent.
      let largest: Double
    }

    let panels = [DataSet.affineRotated, .nonAffine].map(Self.panel)

    private static func panel(_ data: DataSet) -> Panel {
      let field = EmpiricalDenoiser(data: Tensor(rows: data.points), on: EDMSchedule())
      func along(_ starts: [[Double]], to ratio: Double, nodes: Int) -> TransportDiagnostics {
        transportDiagnostics(
          at: Tensor(rows: starts), under: field, fisher: ExactFisher(field), from: Path.edm.ratio, to: ratio,
          nodes: nodes, accuracy: FlowAccuracy(rtol: 1e-5))
      }
      func point(_ values: [Double]) -> PlanePicture.Point { (x: values[0], y: values[1]) }
      func dots(_ picture: inout PlanePicture) {
        for place in data.points { picture.dot(point(place), "#222222", radius: 4) }
      }

      var ways = PlanePicture(horizontal: -2...2, vertical: -2...2)
      let ring = (0..<32).map { index in
        let angle = 2 * Double.pi * (Double(index) + 0.5) / 32
        let radius = index.isMultiple(of: 2) ? 1.9 : 1.1
        return [radius * .cos(angle), radius * .sin(angle)]
      }
      let paths = along(ring, to: endRatio, nodes: 48).points
      for index in ring.indices {
        ways.curve(paths[Axis.all, index].rows.map(point), "#1f6fb4")
        ways.dot(point(ring[index]), "#1f6fb4", radius: 2)
      }
      dots(&ways)

      let (h, v) = (data.points.map { $0[0] }, data.points.map { $0[1] })
      let centre = ((h.min()! + h.max()!) / 2, (v.min()! + v.max()!) / 2)
      let reach = max(h.max()! - h.min()!, v.max()! - v.min()!) / 2 + 0.4
      var grid = PlanePicture(
        horizontal: (centre.0 - reach)...(centre.0 + reach), vertical: (centre.1 - reach)...(centre.1 + reach))
      let (levels, places) = (
        stride(from: -2.0, through: 2, by: 0.25), Array(stride(from: -2.0, through: 2, by: 0.125))
      )
      let lines = levels.flatMap { level in [places.map { [$0, level] }, places.map { [level, $0] }] }
      let carried = along(lines.flatMap { $0 }, to: ratio, nodes: 1).points[1].rows
      for index in lines.indices {
        grid.curve(carried[(index * places.count)..<((index + 1) * places.count)].map(point), "#bbbbbb", width: 0.8)
      }
      let centres = stride(from: -1.5, through: 1.5, by: 0.5).flatMap { x in
        stride(from: -1.5, through: 1.5, by: 0.5).map { [x, $0] }
      }
      let end = along(centres, to: ratio, nodes: 1)
      var largest = 0.0
      for (index, place) in end.points[1].rows.enumerated() {
        let matrix = end.jacobians[1][index].rows
        let asymmetry = 100 * end.asymmetry[1].doubles[index]
        largest = max(largest, asymmetry)
        let colour = mixed(min(asymmetry / red, 1))
        grid.ellipse(matrix, at: point(place), radius: 0.15, colour)
        axis(&grid, matrix, at: point(place), colour)
      }
      dots(&grid)
      return Panel(data: data, ways: ways, grid: grid, largest: largest)
    }

    /// The long axis of an ellipse, and dashed the direction it came from: one line where the matrix is symmetric.
    private static func axis(
      _ picture: inout PlanePicture, _ m: [[Double]], at centre: PlanePicture.Point, _ colour: String
    ) {
      // The direction that is stretched most, from AᵀA.
      let (p, q, r) = (
        m[0][0] * m[0][0] + m[1][0] * m[1][0], m[0][0] * m[0][1] + m[1][0] * m[1][1],
        m[0][1] * m[0][1] + m[1][1] * m[1][1]
      )
      let angle = 0.5 * Double.atan2(y: 2 * q, x: p - r)
      let from = (x: Double.cos(angle), y: Double.sin(angle))
      let image = (x: m[0][0] * from.x + m[0][1] * from.y, y: m[1][0] * from.x + m[1][1] * from.y)
      let length = Double.hypot(image.x, image.y)
      func line(_ direction: PlanePicture.Point, _ reach: Double, isDashed: Bool) {
        picture.curve(
          [
            (x: centre.x - reach * direction.x, y: centre.y - reach * direction.y),
            (x: centre.x + reach * direction.x, y: centre.y + reach * direction.y),
          ], colour, isDashed: isDashed)
      }
      guard length > 0 else { return }
      line((x: image.x / length, y: image.y / length), 0.15 * length, isDashed: false)
      line(from, 0.15 * length + 0.02, isDashed: true)
    }

    /// From blue to red.
    private static func mixed(_ share: Double) -> String {
      let ends: [(Double, Double)] = [(0x1f, 0xd1), (0x6f, 0x2b), (0xb4, 0x3b)]
      let parts = ends.map { from, to in
        let byte = String(Int((from + share * (to - from)).rounded()), radix: 16)
        return byte.count < 2 ? "0\(byte)" : byte
      }
      return "#" + parts.joined()
    }
  }
}

extension Tensor {
  /// The rows of a matrix.
  fileprivate var rows: [[Double]] {
    let values = doubles
    return (0..<shape[0]).map { Array(values[($0 * shape[1])..<(($0 + 1) * shape[1])]) }
  }
}
