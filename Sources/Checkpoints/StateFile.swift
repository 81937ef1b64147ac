import ScorefieldArrays
import ScorefieldTensorCore

/// A state in a file: a `.safetensors` file whose notes hold the step, the rest of the state as JSON, and a checksum.
///
/// One file, so that one renaming makes all of it valid. The format's own header tells when a file is cut short; the
/// checksum tells when the disk kept other bytes than were written.
struct StateFile {
  let path: String
  let step: Int
  let info: String
  let arrays: [String: HostArray]

  private static let format = "scorefield-state-1"

  /// Reads a file and checks that it is whole.
  init(_ path: String, step: Int) throws(ArrayFileError) {
    func error(_ problem: String, repair: String) -> ArrayFileError {
      ArrayFileError(path, .badData, problem, repair: repair)
    }
    let file = try SafeTensorsFile(path)
    guard file.metadata["format"] == Self.format, let info = file.metadata["info"] else {
      throw error("is not a state of a training", repair: "move it away")
    }
    guard file.metadata["step"] == "\(step)" else {
      let found = ArrayFileError.quote(file.metadata["step"] ?? "")
      throw error("is the state of step \(found)", repair: "give it that name")
    }
    var arrays: [String: HostArray] = [:]
    for name in file.names {
      let array = try file.array(named: name)
      guard Tensor.supports(array.elementType) else {
        throw error("holds \(array.elementType.rawValue) values", repair: "move it away")
      }
      arrays[name] = array
    }
    guard file.metadata["checksum"] == Self.checksum(step, info, arrays.map { ($0, $1) }) else {
      throw error("has other contents than were written", repair: "check the disk, and restore it from a copy")
    }
    (self.path, self.step, self.info, self.arrays) = (path, step, info, arrays)
  }

  /// The parts of a file.
  static func encode(
    step: Int, info: String, arrays: [(name: String, array: HostArray)], path: String
  ) throws(ArrayFileError) -> [Bytes] {
    let notes = [
      "format": format, "step": "\(step)", "info": info,
      "checksum": checksum(step, info, arrays.map { ($0.name, $0.array) }),
    ]
    return try SafeTensors.encode(arrays, metadata: notes, name: path)
  }

  /// The CRC-32C of everything that is read, in the order of the names.
  private static func checksum(_ step: Int, _ info: String, _ arrays: [(String, HostArray)]) -> String {
    var checksum = CRC32C()
    checksum.update("\(step)\n\(info)\n")
    for (name, array) in arrays.sorted(by: { $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }) {
      checksum.update("\(name)\n\(array.elementType.rawValue) \(array.shape)\n")
      array.withUnsafeBytes { checksum.update($0) }
    }
    return String(checksum.value, radix: 16)
  }
}
