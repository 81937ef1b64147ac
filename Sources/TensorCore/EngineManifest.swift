#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The list of an engine folder's files, written last by `Scripts/bootstrap`.
///
/// A truncated or replaced library does not fail to load, it crashes; so sizes, and the plug's checksum, are compared
/// first.
package struct EngineManifest {
  static let repair = "run 'make setup' again"

  /// The path of the plug.
  let plug: String
  private let folder: String
  private let files: [(path: String, size: Int, checksum: UInt32?)]

  init(folder: String) throws(EngineError) {
    self.folder = folder
    let path = "\(folder)/manifest"
    guard let text = contents(path) else {
      throw EngineError(
        path: folder, problem: "holds no engine",
        repair: "run 'Scripts/bootstrap \(folder)', or unset SCOREFIELD_ENGINE")
    }
    var files: [(path: String, size: Int, checksum: UInt32?)] = []
    let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
    for line in lines {
      let words = line.split(separator: " ")
      func place(_ words: ArraySlice<Substring>) -> String {
        let name = words.joined(separator: " ")
        return name.hasPrefix("/") ? name : "\(folder)/\(name)"
      }
      switch words.first {
      case "plug" where words.count >= 4:
        files.insert((place(words[3...]), Int(words[1]) ?? -1, UInt32(words[2]) ?? 0), at: 0)
      case "library" where words.count >= 3: files.append((place(words[2...]), Int(words[1]) ?? -1, nil))
      default: break
      }
    }
    guard lines.first == "scorefield-engine 1", let first = files.first, first.checksum != nil else {
      throw EngineError(path: path, problem: "is damaged", repair: Self.repair)
    }
    (self.plug, self.files) = (first.path, files)
  }

  /// Compares every file with what was written down when it was made.
  func verify() throws(EngineError) {
    for file in files {
      var status = stat()
      guard stat(file.path, &status) == 0 else {
        throw EngineError(path: file.path, problem: "is missing", repair: Self.repair)
      }
      let damaged = EngineError(path: file.path, problem: "is damaged or was replaced", repair: Self.repair)
      guard Int(status.st_size) == file.size else { throw damaged }
      guard let expected = file.checksum else { continue }
      guard let bytes = contents(file.path), Self.checksum(bytes) == expected else { throw damaged }
    }
  }

  /// The CRC of POSIX `cksum`.
  package static func checksum(_ bytes: [UInt8]) -> UInt32 {
    let table = (0..<256).map { index in
      (0..<8).reduce(UInt32(index) << 24) { crc, _ in crc & 0x8000_0000 != 0 ? (crc << 1) ^ 0x04C1_1DB7 : crc << 1 }
    }
    func step(_ crc: UInt32, _ byte: UInt8) -> UInt32 { (crc << 8) ^ table[Int(UInt8(crc >> 24) ^ byte)] }
    var crc = bytes.reduce(0, step)
    var count = bytes.count
    while count != 0 {
      crc = step(crc, UInt8(truncatingIfNeeded: count))
      count >>= 8
    }
    return ~crc
  }
}

/// The bytes of a small file.
private func contents(_ path: String) -> [UInt8]? {
  guard let file = fopen(path, "rb") else { return nil }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let count = fread(&buffer, 1, buffer.count, file)
    guard count > 0 else { return ferror(file) == 0 ? bytes : nil }
    bytes.append(contentsOf: buffer[..<count])
  }
}
