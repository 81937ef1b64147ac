import Foundation

/// A script that measures the same things in Python and prints one JSON object a line.
struct Peer: Sendable {
  /// The script, or nil where there is nothing to compare with.
  let script: String?
  let arguments: [String]

  /// The interpreter `Scripts/oracles` set up, from the environment; without one there are no peers.
  static let python = ProcessInfo.processInfo.environment["SCOREFIELD_PYTHON"]

  func run() throws -> [Figure] {
    guard let script, let python = Self.python else { return [] }
    let process = Process()
    process.executableURL = URL(filePath: python)
    let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Peers")
    process.arguments = [folder.appending(component: script).standardized.path] + arguments
    process.environment = ProcessInfo.processInfo.environment.merging(["OMP_NUM_THREADS": "1"]) { $1 }
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return output.split(separator: UInt8(ascii: "\n")).compactMap { try? JSONDecoder().decode(Figure.self, from: $0) }
  }
}
