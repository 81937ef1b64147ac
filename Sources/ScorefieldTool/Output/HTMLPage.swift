import Scorefield
import ScorefieldImages

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A page that holds everything itself: words, tables and pictures.
struct HTMLPage {
  private let title: String
  private var body = ""

  init(_ title: String) { self.title = title }

  mutating func heading(_ text: String) { body += "<h2>\(Self.escaped(text))</h2>\n" }
  mutating func paragraph(_ text: String) { body += "<p>\(Self.escaped(text))</p>\n" }

  mutating func table(_ rows: [[String]]) {
    let cells = rows.enumerated().map { index, row in
      let tag = index == 0 ? "th" : "td"
      return "<tr>" + row.map { "<\(tag)>\(Self.escaped($0))</\(tag)>" }.joined() + "</tr>"
    }
    body += "<table>\n\(cells.joined(separator: "\n"))\n</table>\n"
  }

  mutating func chart(_ chart: LineChart, caption: String) {
    body += "<figure>\(chart.svg)<figcaption>\(Self.escaped(caption))</figcaption></figure>\n"
  }

  mutating func plane(_ picture: PlanePicture, caption: String) {
    body += "<figure>\(picture.svg)<figcaption>\(Self.escaped(caption))</figcaption></figure>\n"
  }

  mutating func picture(_ picture: HostArray, caption: String) throws {
    let png = try PNG.encode(picture, name: caption)
    let data = png.withUnsafeBytes { Data($0) }.base64EncodedString()
    body += """
      <figure><img alt="\(Self.escaped(caption))" src="data:image/png;base64,\(data)">
      <figcaption>\(Self.escaped(caption))</figcaption></figure>\n
      """
  }

  /// The page as a file.
  func file(_ path: String) -> OutputFile {
    let text = """
      <!doctype html>
      <html lang="en"><head><meta charset="utf-8"><title>\(Self.escaped(title))</title>
      <style>
      body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
      table { border-collapse: collapse; margin: 1em 0 }
      th, td { padding: .2em .8em; text-align: right; border-bottom: 1px solid #ddd }
      th:first-child, td:first-child { text-align: left }
      figure { margin: 1em 0 } img { image-rendering: pixelated; max-width: 100% } figcaption { color: #666 }
      </style></head><body>
      <h1>\(Self.escaped(title))</h1>
      \(body)</body></html>

      """
    return OutputFile([Array(text.utf8).withUnsafeBytes { Bytes(copying: $0) }], path)
  }

  static func escaped(_ text: String) -> String {
    text.reduce(into: "") { result, character in
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      default: result.append(character)
      }
    }
  }
}
