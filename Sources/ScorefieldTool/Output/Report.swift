#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The one JSON object a command prints: its own fields and the figures every command has.
struct Report<Body: Encodable>: Encodable {
  let body: Body
  /// Compute time, without start-up and reading.
  let seconds: Double
  let networkEvaluations: Int

  private enum Keys: String, CodingKey { case seconds, networkEvaluations, peakMemoryBytes }

  func encode(to encoder: any Encoder) throws {
    try body.encode(to: encoder)
    var figures = encoder.container(keyedBy: Keys.self)
    try figures.encode(seconds, forKey: .seconds)
    try figures.encode(networkEvaluations, forKey: .networkEvaluations)
    try figures.encode(MemoryRecord.peak, forKey: .peakMemoryBytes)
  }

  /// The object as text, on one line, keys in snake case and alphabetical.
  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }
}

/// Numbers for JSON, which has none that are not finite: null stands for them.
func numbers(_ values: [Double]) -> [Double?] { values.map { $0.isFinite ? $0 : nil } }
