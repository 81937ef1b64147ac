import Foundation
import Scorefield
import Testing

/// The path of a file in `Tests/Golden`.
func golden(_ name: String) -> String {
  let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  return tests.appending(path: "Golden/\(name)").path
}

/// The names in a folder, hidden ones too, sorted.
func names(in folder: String) throws -> [String] {
  try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
}

func contents(of path: String) throws -> [UInt8] { try Array(Data(contentsOf: URL(filePath: path))) }
func put(_ bytes: [UInt8], at path: String) throws { try Data(bytes).write(to: URL(filePath: path)) }
func put(_ text: String, at path: String) throws { try put(Array(text.utf8), at: path) }
func text(of path: String) throws -> String { String(decoding: try contents(of: path), as: UTF8.self) }

/// Forbids files of more bytes, as a full disk does, in this process, which is to end soon.
func forbidFiles(beyond size: Int) {
  signal(SIGXFSZ, SIG_IGN)
  var limit = rlimit(rlim_cur: rlim_t(size), rlim_max: rlim_t(size))
  #if os(Linux)
    setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
  #else
    setrlimit(RLIMIT_FSIZE, &limit)
  #endif
}

/// Words of a process that stopped.
func expectWords(_ words: String, _ result: ExitTest.Result?, sourceLocation: SourceLocation = #_sourceLocation) {
  let found = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
  #expect(found.contains(words), sourceLocation: sourceLocation)
}
