import Scorefield

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The parts of a long job that are done, in a file beside its output, so that a job that was ended goes on with the next.
///
/// After a line that says what it is, each record is its length, its checksum and a `.safetensors` file; the first one says in its notes which job it is. What a
/// killed process left half written at the end is cut off.
final class Journal {
  /// The parts that were done before.
  private(set) var parts: [[String: Tensor]] = []
  private let file: AppendedFile

  /// The line that a journal begins with.
  private static let opening = Array("scorefield parts 1\n".utf8)

  /// What tells an array from others.
  static func checksum(of array: HostArray) -> String {
    var checksum = CRC32C()
    array.withUnsafeBytes { checksum.update($0) }
    return "\(array.elementType.rawValue) \(array.shape) \(checksum.value)"
  }

  /// Inputs of a job, by what is in them.
  static func entries(_ inputs: [(name: String, input: ArrayInput?)]) -> [(name: String, value: String)] {
    inputs.map { ($0.name, $0.input.map { checksum(of: $0.array) } ?? "none") }
  }

  /// Where a job's journal is.
  static func path(of output: String) -> String { "\(output).journal" }

  /// Begins a journal, or goes on with one.
  ///
  /// - Parameters:
  ///   - output: Where the job's arrays will go.
  ///   - job: What the job is, by name: whatever its numbers depend on.
  ///   - resumes: Whether to go on with a journal that is there.
  /// - Throws: Where it is of another job, or cannot be read or written.
  init(of output: String, job: [(name: String, value: String)], resumes: Bool) throws {
    let path = Self.path(of: output)
    let isThere = FileIdentity(of: path).map { $0.size > 0 } ?? false
    guard resumes || !isThere else {
      throw Failure.option(
        "--resume", "is not given, and \(path) holds the parts of a job that was ended",
        repair: "give --resume to go on with it, or remove the file")
    }
    if isThere { try Self.checkOpening(path) }
    file = try AppendedFile(path)
    let notes = Dictionary(uniqueKeysWithValues: job.map { ($0.name, $0.value) })
    var (end, isFirst) = (Self.opening.count, true)
    while let (payload, next) = record(at: end) {
      let record = try SafeTensorsFile(parsing: payload, name: path)
      if isFirst {
        for (name, value) in job where record.metadata[name] != value {
          throw Failure(
            .badData, path, "is of another job, whose \(name) differs",
            repair: "give the same options, or remove the file")
        }
        isFirst = false
      } else {
        parts.append(
          try Dictionary(uniqueKeysWithValues: record.names.map { ($0, Tensor(try record.array(named: $0))) }))
      }
      end = next
    }
    try file.truncate(to: isFirst ? 0 : end)
    guard isFirst else { return }
    try Interrupt.waits { try file.append(Self.opening) }
    try write(try SafeTensors.encode([], metadata: notes, name: path))
  }

  /// Refuses to write into a file that is something else.
  private static func checkOpening(_ path: String) throws {
    let bytes = try Bytes(mapping: path)
    let isOurs = bytes[0..<min(bytes.count, opening.count)].withUnsafeBytes { opening.starts(with: $0) }
    guard isOurs else { throw Failure(.badData, path, "is no journal", repair: "remove the file") }
  }

  /// Keeps a part; from then on a killed job does not do it again.
  func append(_ part: [String: Tensor]) throws {
    try write(
      try SafeTensors.encode(part.sorted { $0.key < $1.key }.map { ($0.key, $0.value.hostArray) }, name: file.path))
    parts.append(part)
  }

  /// Takes the journal away: the output is written.
  func remove() { unlink(file.path) }

  private func write(_ parts: [Bytes]) throws {
    let payload = parts.flatMap { $0.withUnsafeBytes(Array.init) }
    let length = withUnsafeBytes(of: UInt64(payload.count).littleEndian, Array.init)
    let checksum = withUnsafeBytes(of: CRC32C.of(length + payload).littleEndian, Array.init)
    try Interrupt.waits { try file.append(length + checksum + payload) }
  }

  /// The record that begins at a place, and where the next one does; nil where none is whole.
  private func record(at start: Int) -> (payload: Bytes, next: Int)? {
    guard file.size - start >= 12 else { return nil }
    let head = file.read(start..<(start + 12))
    guard head.count == 12, case let length = Self.number(head[0..<8]), length <= file.size - start - 12 else {
      return nil
    }
    let payload = file.read((start + 12)..<(start + 12 + length))
    guard payload.count == length, CRC32C.of(head[..<8] + payload) == UInt32(Self.number(head[8..<12])) else {
      return nil
    }
    return (payload.withUnsafeBytes { Bytes(copying: $0) }, start + 12 + length)
  }

  private static func number(_ bytes: ArraySlice<UInt8>) -> Int {
    Int(truncatingIfNeeded: bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }) & .max
  }
}
