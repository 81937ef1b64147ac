import Foundation
import Scorefield

/// The built command line, run as people run it.
struct Tool {
  struct Answer {
    let status: Int32
    let output, messages: String
    /// The object `--json` printed.
    func json<T: Decodable>(_ type: T.Type = T.self) throws -> T {
      try JSONDecoder().decode(type, from: Data(output.utf8))
    }
  }

  /// A new folder, in which the tool runs.
  let folder: URL

  /// Runs the body in a new folder, which is removed afterwards.
  static func inTemporaryFolder(_ body: (Tool) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appending(component: "tool-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(Tool(folder: folder))
  }

  private static let executable: URL = {
    let tests = URL(filePath: CommandLine.arguments[0]).resolvingSymlinksInPath()
    return tests.deletingLastPathComponent().appending(component: "scorefield")
  }()

  /// Runs the tool; PATH is empty, so that nothing else can be called.
  ///
  /// - Parameters:
  ///   - arguments: What stands on the command line.
  ///   - environment: What is added to this process's own.
  ///   - device: Where its answer goes; nil for what is returned.
  ///   - blocks: The largest file it may write, in blocks of 512 bytes.
  ///   - isWatched: Whether its words go to a terminal.
  ///   - signal: What is sent to it.
  ///   - moment: Waits until that is to happen.
  /// - Returns: What came of it.
  /// - Throws: Where it cannot be started.
  func run(
    _ arguments: [String], environment: [String: String] = [:], output device: String? = nil,
    largestFile blocks: Int? = nil, onTerminal isWatched: Bool = false, sending signal: Int32 = SIGINT,
    when moment: ((Process) -> Void)? = nil
  ) throws -> Answer {
    let process = Process()
    process.executableURL = Self.executable
    process.arguments = arguments
    if let blocks {
      process.executableURL = URL(filePath: "/bin/sh")
      process.arguments = ["-c", "ulimit -f \(blocks); exec \"$0\" \"$@\"", Self.executable.path] + arguments
    }
    process.currentDirectoryURL = folder
    process.environment = ProcessInfo.processInfo.environment.merging(["PATH": ""]) { $1 }.merging(environment) { $1 }
    // Another call may run at the same time.
    let call = UUID().uuidString
    let (output, messages) = (
      folder.appending(component: ".output-\(call)"), folder.appending(component: ".messages-\(call)")
    )
    for file in [output, messages] { try Data().write(to: file) }
    defer { for file in [output, messages] { try? FileManager.default.removeItem(at: file) } }
    process.standardOutput = try FileHandle(forWritingTo: device.map { URL(filePath: $0) } ?? output)
    var terminal: (own: Int32, its: Int32) = (-1, -1)
    if isWatched, openpty(&terminal.own, &terminal.its, nil, nil, nil) != 0 { throw POSIXError(.ENXIO) }
    let words = try FileHandle(forWritingTo: messages)
    process.standardError = isWatched ? FileHandle(fileDescriptor: terminal.its) : words
    process.standardInput = FileHandle.nullDevice
    try process.run()
    if isWatched {
      close(terminal.its)
      var bytes = [UInt8](repeating: 0, count: 4096)
      while case let count = read(terminal.own, &bytes, bytes.count), count > 0 { words.write(Data(bytes[..<count])) }
      close(terminal.own)
    }
    if let moment {
      moment(process)
      kill(process.processIdentifier, signal)
    }
    process.waitUntilExit()
    return Answer(
      status: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
      output: try String(contentsOf: output, encoding: .utf8),
      messages: try String(contentsOf: messages, encoding: .utf8))
  }

  func path(_ name: String) -> String { folder.appending(path: name).path }
  func put(_ bytes: [UInt8], at name: String) throws { try Data(bytes).write(to: folder.appending(path: name)) }
  func put(_ array: HostArray, at name: String) throws { try NPY.write(array, to: path(name)) }
  func put(_ values: [Double], shape: [Int], at name: String) throws {
    try put(HostArray(values, shape: shape), at: name)
  }
  func arrays(in name: String) throws -> SafeTensorsFile { try SafeTensorsFile(path(name)) }
  func bytes(of name: String) throws -> Data { try Data(contentsOf: folder.appending(path: name)) }
  /// What is in the folder, or in one inside it, hidden files too.
  func names(in name: String) throws -> Set<String> {
    Set(try FileManager.default.contentsOfDirectory(atPath: folder.appending(path: name).path))
  }
  /// Everything in the folder, hidden files too.
  func names() throws -> Set<String> { Set(try FileManager.default.contentsOfDirectory(atPath: folder.path)) }
}

/// An array of grey levels.
func levels(_ values: [UInt8], shape: [Int]) -> HostArray {
  HostArray(.uint8, shape: shape, bytes: values.withUnsafeBytes { Bytes(copying: $0) })
}
