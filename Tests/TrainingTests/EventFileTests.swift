import Foundation
import Scorefield
import ScorefieldTestSupport
import ScorefieldTraining
import Testing

@Suite struct EventFileTests {
  /// A clock a test sets.
  private final class Clock {
    var now: Double
    init(_ now: Double) { self.now = now }
  }

  /// What `make_events.py` writes.
  private func writeGolden(in folder: String) throws {
    let clock = Clock(1_700_000_000.5)
    func file(from step: Int, process: Int32) throws -> EventFile {
      try EventFile(in: folder, from: step, host: "host", process: process) { clock.now }
    }
    let first = try file(from: 0, process: 1)
    for step in 0..<8 {
      clock.now = 1_700_000_001 + Double(step)
      try first.append([("loss", 1 / Double(1 + step)), ("rate", 0)], at: step)
    }
    clock.now = 1_700_000_020.25
    try first.append(png: Bytes(mapping: golden("arrays/grey.png")), tag: "samples/grey", at: 4)

    // So that the clock, which went back, does not name the file.
    try put([], at: "\(folder)/events.out.tfevents.1700000099.other")
    clock.now = 1_700_000_099
    let second = try file(from: 5, process: 2)
    try FileManager.default.removeItem(atPath: "\(folder)/events.out.tfevents.1700000099.other")
    for step in 5..<7 {
      clock.now = 1_700_000_100 + Double(step)
      try second.append([("loss", -Double(step)), ("rate", .nan)], at: step)
    }
    clock.now = 1_700_000_150
    for step in [127, 128, 16383, 16384] { try second.append([("loss", 0.5)], at: step) }
    clock.now = 1_700_000_200
    try second.append([("loss", .infinity)], at: 1 << 40)
    try second.append(png: Bytes(mapping: golden("arrays/colour-alpha.png")), tag: "samples/colour", at: 6)
  }

  @Test("the files are those of TensorBoard's own writer, byte for byte")
  func goldenFiles() throws {
    try withTemporaryFolder { folder in
      try writeGolden(in: folder)
      let expected = ["events.out.tfevents.1700000000.host.1", "events.out.tfevents.1700000100.host.2"]
      #expect(try names(in: folder) == expected)
      for name in expected {
        #expect(try contents(of: "\(folder)/\(name)") == contents(of: golden("events/\(name)")))
      }
    }
  }

  /// A Python that has TensorBoard, where there is one.
  private static let python: String? = {
    guard let path = ProcessInfo.processInfo.environment["SCOREFIELD_PYTHON"] else { return nil }
    return (try? run(path, ["-c", "import PIL, numpy, tensorboard"]))?.status == 0 ? path : nil
  }()

  private static func run(_ program: String, _ arguments: [String]) throws -> (status: Int32, output: String) {
    let (process, pipe) = (Process(), Pipe())
    process.executableURL = URL(filePath: program)
    process.arguments = arguments
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    try process.run()
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: output, as: UTF8.self))
  }

  @Test(
    "TensorBoard reads what was written",
    .enabled(if: python != nil, "SCOREFIELD_PYTHON names no Python with tensorboard; Scripts/oracles makes one"))
  func peer() throws {
    try withTemporaryFolder { folder in
      try writeGolden(in: folder)
      let answer = try Self.run(Self.python!, [golden("read_events.py"), folder])
      #expect(answer.status == 0 && answer.output == "12 losses, 7 rates and 2 pictures are right\n")
    }
  }

  @Test("a file is named by the time, the host and the process, and comes after those that are there")
  func naming() throws {
    try withTemporaryFolder { folder in
      let before = Int(Date().timeIntervalSince1970)
      let name = try EventFile(in: folder).path.split(separator: "/").last!.split(separator: ".")
      #expect(name[0...2].joined(separator: ".") == "events.out.tfevents")
      #expect((before...before + 60).contains(Int(name[3])!) && name.last! == "\(getpid())")
      #expect(try EventFile(in: folder).path < EventFile(in: folder).path)

      for other in ["4000000000.a.1", "50000000000.a.1", "99999999999999999999999.a.1", "x", "9223372036854775807"] {
        try put([], at: "\(folder)/events.out.tfevents.\(other)")
      }
      let next = try EventFile(in: folder, from: 0, host: "a/b c", process: 7) { 3 }
      #expect(next.path == "\(folder)/events.out.tfevents.4000000001.a_b_c.7")
    }
  }

  @Test("an entry that does not fit is taken back")
  func full() async {
    await #expect(processExitsWith: .success) {
      try withTemporaryFolder { folder in
        let file = try EventFile(in: folder, from: 0, host: "a", process: 1) { 5 }
        try file.append([("loss", 1)], at: 1)
        let size = try contents(of: file.path).count
        forbidFiles(beyond: size + 10)
        do throws(ArrayFileError) {
          try file.append([("loss", 1)], at: 2)
          exit(1)
        } catch {
          let expected = "\(file.path): cannot be written (File too large); check the folder and its permissions"
          guard error.description == expected, error.category == .cannotWrite else { exit(2) }
        }
        guard try contents(of: file.path).count == size else { exit(3) }
      }
    }
  }

  @Test("where no file can be written, the error says so")
  func unwritable() throws {
    try withTemporaryFolder { folder in
      let error = #expect(throws: ArrayFileError.self) {
        try EventFile(in: "\(folder)/none", from: 0, host: "a", process: 1) { 5 }
      }
      #expect(
        error?.description
          == "\(folder)/none/events.out.tfevents.5.a.1: its folder does not exist; make the folder first")
    }
  }

  @Test("what is no picture stops the process")
  func noPicture() async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "scorefield-\(UUID())").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [folder = folder as String] in
      let file = try EventFile(in: folder)
      try file.append(png: Bytes(copying: UnsafeRawBufferPointer(start: nil, count: 0)), tag: "", at: 0)
    }
    let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(message.contains("EventFile.append(png:): not the bytes of a .png file"))
  }
}
