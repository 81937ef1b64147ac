import Foundation
import ScorefieldArrays
import Testing

/// The path of a file that `make_arrays.py` wrote.
func golden(_ name: String) -> String {
  let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  return tests.appending(components: "Golden", "arrays", name).path(percentEncoded: false)
}

/// Runs a test in a new folder, which is removed afterwards.
func inTemporaryFolder(_ test: (String) throws -> Void) throws {
  let folder = FileManager.default.temporaryDirectory.appending(component: "arrays-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
  defer { try? FileManager.default.removeItem(at: folder) }
  try test(folder.path(percentEncoded: false))
}

func contents(of path: String) throws -> [UInt8] { try Array(Data(contentsOf: URL(filePath: path))) }

func put(_ bytes: [UInt8], at path: String) throws { try Data(bytes).write(to: URL(filePath: path)) }

/// The files of a folder, hidden ones too.
func names(in folder: String) throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder) }

/// The elements' bytes.
func bits(_ array: HostArray) -> [UInt8] { array.withUnsafeBytes(Array.init) }

extension Bytes {
  init(_ bytes: [UInt8]) { self = bytes.withUnsafeBytes { Bytes(copying: $0) } }
  init(_ text: String) { self.init(Array(text.utf8)) }
}

/// The concatenation of the parts of a file.
func joined(_ parts: [Bytes]) -> [UInt8] { parts.flatMap { $0.withUnsafeBytes(Array.init) } }

/// Bytes of a file that cannot be used, and the sentence that says so.
struct BadInput: CustomTestStringConvertible {
  let bytes: [UInt8]
  let sentence: String
  var testDescription: String { sentence }

  init(_ bytes: [UInt8], _ sentence: String) { (self.bytes, self.sentence) = (bytes, sentence) }
  init(_ text: String, _ sentence: String) { self.init(Array(text.utf8), sentence) }
}

/// A small generator for tests that must repeat.
struct SplitMix64: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}

extension Tag {
  @Tag static var slow: Self
}
