import RealModule

/// Curves, points and ellipses of the plane, as SVG; both axes have one scale.
struct PlanePicture {
  typealias Point = (x: Double, y: Double)

  /// What is shown of each axis.
  let horizontal, vertical: ClosedRange<Double>
  private var parts: [String] = []
  private let scale: Double

  private static let (width, margin) = (560.0, 8.0)

  init(horizontal: ClosedRange<Double>, vertical: ClosedRange<Double>) {
    (self.horizontal, self.vertical) = (horizontal, vertical)
    scale = (Self.width - 2 * Self.margin) / (horizontal.upperBound - horizontal.lowerBound)
  }

  private var height: Double { 2 * Self.margin + scale * (vertical.upperBound - vertical.lowerBound) }

  private func place(_ point: Point) -> (h: String, v: String) {
    (
      fixed(Self.margin + scale * (point.x - horizontal.lowerBound), 1),
      fixed(Self.margin + scale * (vertical.upperBound - point.y), 1)
    )
  }

  /// A curve through points; what is no number is left out.
  mutating func curve(
    _ points: [Point], _ colour: String, width: Double = 1, isDashed: Bool = false, isClosed: Bool = false
  ) {
    let path = points.filter { $0.x.isFinite && $0.y.isFinite }.map { place($0) }.map { "\($0.h),\($0.v)" }
    let dash = isDashed ? " stroke-dasharray=\"3 3\"" : ""
    parts.append(
      "<\(isClosed ? "polygon" : "polyline") points=\"\(path.joined(separator: " "))\" fill=\"none\" stroke=\"\(colour)\" "
        + "stroke-width=\"\(width)\"\(dash)/>")
  }

  mutating func dot(_ point: Point, _ colour: String, radius: Double = 3) {
    let place = place(point)
    parts.append("<circle cx=\"\(place.h)\" cy=\"\(place.v)\" r=\"\(radius)\" fill=\"\(colour)\"/>")
  }

  /// The image of a circle under a matrix given by its rows, about a centre.
  mutating func ellipse(
    _ matrix: [[Double]], at centre: Point, radius: Double, _ colour: String, width: Double = 1.2
  ) {
    let turn = (0..<48).map { 2 * Double.pi * Double($0) / 48 }
    curve(
      turn.map { angle in
        let (c, s) = (radius * .cos(angle), radius * .sin(angle))
        return (centre.x + matrix[0][0] * c + matrix[0][1] * s, centre.y + matrix[1][0] * c + matrix[1][1] * s)
      }, colour, width: width, isClosed: true)
  }

  var svg: String {
    """
    <svg viewBox="0 0 \(fixed(Self.width, 0)) \(fixed(height, 0))" style="max-width: 36em; background: #fff">
    \(parts.joined(separator: "\n"))
    </svg>
    """
  }
}
