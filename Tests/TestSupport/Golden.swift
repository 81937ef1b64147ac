import Foundation
import ScorefieldArrays
import ScorefieldTensorCore

/// Arrays made elsewhere: `Tests/Golden/<name>.safetensors`, with the script that made them beside it.
package struct Golden: Sendable {
  private let file: SafeTensorsFile

  package init(_ name: String) throws {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    file = try SafeTensorsFile(tests.appending(path: "Golden/\(name).safetensors").path)
  }

  package subscript(_ name: String) -> Tensor {
    get throws { Tensor(try file.array(named: name)) }
  }

  /// The JSON the script left under a key.
  package func metadata<T: Decodable>(_ key: String, as type: T.Type = T.self) throws -> T {
    try JSONDecoder().decode(type, from: Data((file.metadata[key] ?? "null").utf8))
  }
}
