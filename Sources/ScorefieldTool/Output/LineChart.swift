import RealModule

/// Lines over a horizontal axis, as SVG.
struct LineChart {
  struct Line {
    let name: String
    /// In the order of the axis; what is missing or not positive on a logarithmic axis is left out.
    let points: [(x: Double, y: Double)]
    var isDashed = false
  }

  let horizontal, vertical: String
  let lines: [Line]
  var isLogarithmic = false
  /// Whether points are joined.
  var isJoined = true

  private static let (width, height, left, bottom, top, right) = (640.0, 360.0, 70.0, 44.0, 12.0, 190.0)
  private static let colours = ["#1f6fb4", "#d1495b", "#2e8b57", "#8e5ea2", "#e08e0b", "#444444", "#17a2b8", "#a0522d"]

  private func place(_ y: Double) -> Double { isLogarithmic ? .log10(y) : y }

  var svg: String {
    let shown = lines.map { line in
      (line, line.points.filter { $0.x.isFinite && $0.y.isFinite && (!isLogarithmic || $0.y > 0) })
    }
    let all = shown.flatMap(\.1)
    guard let lowX = all.map(\.x).min(), let highX = all.map(\.x).max(), let lowY = all.map({ place($0.y) }).min(),
      let highY = all.map({ place($0.y) }).max()
    else { return "" }
    let (spanX, spanY) = (max(highX - lowX, 1e-300), max(highY - lowY, 1e-300))
    let (floorY, ceilingY) = (lowY - 0.04 * spanY, highY + 0.04 * spanY)
    func h(_ x: Double) -> String {
      fixed(Self.left + (x - lowX) / spanX * (Self.width - Self.left - Self.right), 1)
    }
    func v(_ y: Double) -> String {
      fixed(Self.top + (ceilingY - y) / (ceilingY - floorY) * (Self.height - Self.top - Self.bottom), 1)
    }
    var parts: [String] = []
    for tick in Self.ticks(floorY, ceilingY) {
      let words = isLogarithmic ? significant(.pow(10, tick), 2) : significant(tick, 3)
      parts.append(
        "<line x1=\"\(Self.left)\" x2=\"\(Self.width - Self.right)\" y1=\"\(v(tick))\" y2=\"\(v(tick))\" stroke=\"#eee\"/>"
          + "<text x=\"\(Self.left - 6)\" y=\"\(v(tick))\" text-anchor=\"end\" dominant-baseline=\"middle\">\(words)</text>"
      )
    }
    for tick in Self.ticks(lowX, highX) {
      parts.append(
        "<text x=\"\(h(tick))\" y=\"\(Self.height - Self.bottom + 16)\" text-anchor=\"middle\">\(significant(tick, 3))</text>"
      )
    }
    for (index, (line, points)) in shown.enumerated() {
      let colour = Self.colours[index % Self.colours.count]
      let dash = line.isDashed ? " stroke-dasharray=\"5 4\"" : ""
      if isJoined {
        let path = points.map { "\(h($0.x)),\(v(place($0.y)))" }.joined(separator: " ")
        parts.append("<polyline points=\"\(path)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"1.8\"\(dash)/>")
      }
      for point in points {
        parts.append("<circle cx=\"\(h(point.x))\" cy=\"\(v(place(point.y)))\" r=\"2.6\" fill=\"\(colour)\"/>")
      }
      let y = Self.top + 14 + 18 * Double(index)
      parts.append(
        "<text x=\"\(Self.width - Self.right + 12)\" y=\"\(y)\" fill=\"\(colour)\">\(HTMLPage.escaped(line.name))</text>"
      )
    }
    parts.append(
      "<text x=\"\((Self.left + Self.width - Self.right) / 2)\" y=\"\(Self.height - 8)\" text-anchor=\"middle\">"
        + "\(HTMLPage.escaped(horizontal))</text>")
    parts.append(
      "<text transform=\"translate(14 \((Self.height - Self.bottom) / 2)) rotate(-90)\" text-anchor=\"middle\">"
        + "\(HTMLPage.escaped(vertical))</text>")
    return """
      <svg viewBox="0 0 \(Self.width) \(Self.height)" style="max-width: 48em" font-size="12" font-family="sans-serif">
      \(parts.joined(separator: "\n"))
      </svg>
      """
  }

  /// About five round numbers between two.
  private static func ticks(_ low: Double, _ high: Double) -> [Double] {
    guard high > low else { return [low] }
    let raw = (high - low) / 5
    let power = Double.pow(10, .log10(raw).rounded(.down))
    let step = power * ([1, 2, 5, 10].first { $0 * power >= raw } ?? 10)
    return (Int((low / step).rounded(.up))...Int((high / step).rounded(.down))).map { Double($0) * step }
  }
}
