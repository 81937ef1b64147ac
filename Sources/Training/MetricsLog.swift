import ScorefieldArrays
import ScorefieldCheckpoints

/// What was measured during a training, a JSON object on each line (`metrics.jsonl`).
///
/// A line is written whole or not at all, and is in the file when ``append(_:)`` returns. Keys are sorted; numbers that are
/// not finite are the strings `NaN`, `Infinity` and `-Infinity`.
public final class MetricsLog {
  /// What of a file that is there already is kept.
  public enum Beginning: Sendable, Equatable {
    /// Nothing.
    case empty
    /// The bytes up to an ``MetricsLog/offset`` that was saved with a state.
    case offset(Int)
    /// The lines up to the first whose `step` is later, or which is not whole.
    case step(Int)
  }

  private let file: AppendedFile

  public var path: String { file.path }
  /// Where the next line will begin, in bytes.
  public var offset: Int { file.size }

  /// Opens a log.
  ///
  /// - Parameters:
  ///   - path: The file, in a folder that exists; where there is none it is made, whatever was to be kept.
  ///   - beginning: What is kept of it. The rest is removed, so that the log goes on as if the training had never stopped.
  /// - Throws: Where the file cannot be written, or is not the one whose offset was saved.
  public init(_ path: String, keeping beginning: Beginning) throws(ArrayFileError) {
    file = try AppendedFile(path)
    try file.truncate(to: Self.length(of: beginning, in: file))
  }

  /// Adds a line.
  ///
  /// - Parameter record: What JSON writes as an object.
  /// - Throws: Where it cannot be written; then the file is as it was.
  public func append(_ record: some Encodable) throws(ArrayFileError) {
    try file.append(Array((JSONText.encode(record, isPretty: false, name: path) + "\n").utf8))
  }

  /// Waits until every line is on the disk, as it must be before a state refers to its ``offset``.
  public func synchronize() throws(ArrayFileError) { try file.synchronize() }

  private static func length(of beginning: Beginning, in file: AppendedFile) throws(ArrayFileError) -> Int {
    switch beginning {
    case _ where file.size == 0, .empty: return 0
    case .offset(let offset):
      guard offset >= 0 else { fatalError("MetricsLog(keeping: .offset(\(offset))): an offset is at least 0") }
      let changed = "remove it to begin a new one, or restore the file that training wrote"
      guard offset <= file.size else {
        throw ArrayFileError(
          file.path, .badData, "has \(file.size) bytes, but had \(offset) when the state was saved", repair: changed)
      }
      guard offset == 0 || file.read(offset - 1..<offset) == [UInt8(ascii: "\n")] else {
        throw ArrayFileError(
          file.path, .badData, "has no line that ends at byte \(offset), where one did when the state was saved",
          repair: changed)
      }
      return offset
    case .step(let last):
      struct Line: Decodable { let step: Int }
      var end = 0
      // What follows the last newline is a line that was not finished.
      for line in file.read(0..<file.size).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        .dropLast()
      {
        let bytes = line.withUnsafeBytes { Bytes(copying: $0) }
        guard let found = try? JSONText.decode(Line.self, from: bytes, name: file.path, repair: ""), found.step <= last
        else { break }
        end += line.count + 1
      }
      return end
    }
  }
}
