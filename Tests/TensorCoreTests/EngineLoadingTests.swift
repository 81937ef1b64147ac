import Foundation
import Scorefield
import ScorefieldTensorCore
import ScorefieldTestSupport
import Testing

/// An engine that cannot be used is one sentence that names the file and the repair.
@Suite struct EngineLoadingTests {
  /// The engine this process uses.
  static func present() throws -> String {
    if let named = ProcessInfo.processInfo.environment["SCOREFIELD_ENGINE"] { return named }
    return try Engine.findFolder(above: [#filePath])
  }

  /// A copy of the engine's folder, whose libtorch stays where it is, for a body to break.
  static func withCopy<R>(_ body: (String) throws -> R) throws -> R {
    try withTemporaryFolder { folder in
      let original = try present()
      try FileManager.default.copyItem(atPath: "\(original)/\(plug)", toPath: "\(folder)/\(plug)")
      // The plug finds a libtorch of the folder's own beside itself.
      if FileManager.default.fileExists(atPath: "\(original)/libtorch") {
        try FileManager.default.createSymbolicLink(
          atPath: "\(folder)/libtorch", withDestinationPath: "\(original)/libtorch")
      }
      let manifest = try String(contentsOfFile: "\(original)/manifest", encoding: .utf8)
      let lines = manifest.split(separator: "\n").map { line in
        let words = line.split(separator: " ", maxSplits: 2)
        guard words[0] == "library", !words[2].hasPrefix("/") else { return String(line) }
        return "library \(words[1]) \(original)/\(words[2])"
      }
      try write(lines, to: folder)
      return try body(folder)
    }
  }

  static let plug = "libscorefield-engine.so"

  static func write(_ lines: [String], to folder: String) throws {
    try (lines.joined(separator: "\n") + "\n").write(toFile: "\(folder)/manifest", atomically: true, encoding: .utf8)
  }

  static func lines(of folder: String) throws -> [String] {
    try String(contentsOfFile: "\(folder)/manifest", encoding: .utf8).split(separator: "\n").map(String.init)
  }

  /// A plug of the given bytes that the manifest vouches for.
  static func replacePlug(_ folder: String, by bytes: Data) throws {
    try bytes.write(to: URL(filePath: "\(folder)/\(plug)"))
    let entry = "plug \(bytes.count) \(EngineManifest.checksum([UInt8](bytes))) \(plug)"
    try write(lines(of: folder).map { $0.hasPrefix("plug ") ? entry : $0 }, to: folder)
  }

  /// Ways to break a folder, and what is said of it; `FOLDER` stands for its path.
  static let damages: [String: (sentence: String, damage: @Sendable (String) throws -> Void)] = [
    "folder": (
      "FOLDER: holds no engine; run 'Scripts/bootstrap FOLDER', or unset SCOREFIELD_ENGINE",
      { try FileManager.default.removeItem(atPath: $0) }
    ),
    "manifest missing": (
      "FOLDER: holds no engine; run 'Scripts/bootstrap FOLDER', or unset SCOREFIELD_ENGINE",
      { try FileManager.default.removeItem(atPath: "\($0)/manifest") }
    ),
    "manifest empty": ("FOLDER/manifest: is damaged; run 'make setup' again", { try write([], to: $0) }),
    "manifest without a plug": (
      "FOLDER/manifest: is damaged; run 'make setup' again",
      { folder in try write(lines(of: folder).filter { !$0.hasPrefix("plug") }, to: folder) }
    ),
    "manifest of another kind": (
      "FOLDER/manifest: is damaged; run 'make setup' again",
      { folder in try write(["scorefield-engine 2"] + lines(of: folder).dropFirst(), to: folder) }
    ),
    "manifest cut": (
      "FOLDER/manifest: is damaged; run 'make setup' again",
      { folder in
        let cut = try lines(of: folder).map { $0.hasPrefix("plug") ? String($0.prefix(9)) : $0 }
        try write(cut, to: folder)
      }
    ),
    "plug missing": (
      "FOLDER/libscorefield-engine.so: is missing; run 'make setup' again",
      { try FileManager.default.removeItem(atPath: "\($0)/\(plug)") }
    ),
    "plug truncated": (
      "FOLDER/libscorefield-engine.so: is damaged or was replaced; run 'make setup' again",
      { folder in
        let handle = try FileHandle(forWritingTo: URL(filePath: "\(folder)/\(plug)"))
        try handle.truncate(atOffset: handle.seekToEnd() - 1)
        try handle.close()
      }
    ),
    "one bit flipped": (
      "FOLDER/libscorefield-engine.so: is damaged or was replaced; run 'make setup' again",
      { folder in
        var bytes = try Data(contentsOf: URL(filePath: "\(folder)/\(plug)"))
        bytes[bytes.count / 2] ^= 4
        try bytes.write(to: URL(filePath: "\(folder)/\(plug)"))
      }
    ),
    "libtorch of another size": (
      "LIBRARY: is damaged or was replaced; run 'make setup' again",
      { folder in
        let changed = try lines(of: folder).map { line in
          let words = line.split(separator: " ", maxSplits: 2)
          return words[0] == "library" ? "library \(Int(words[1])! + 1) \(words[2])" : line
        }
        try write(changed, to: folder)
      }
    ),
    "libtorch gone": (
      "FOLDER/gone/libtorch_cpu.so: is missing; run 'make setup' again",
      { folder in try write(lines(of: folder).prefix(3) + ["library 1 gone/libtorch_cpu.so"], to: folder) }
    ),
    "no library": (
      "FOLDER/libscorefield-engine.so: cannot be loaded (FOLDER/libscorefield-engine.so: invalid ELF header); "
        + "run 'make setup' again",
      { try replacePlug($0, by: Data(String(repeating: "no library\n", count: 100).utf8)) }
    ),
    "another library": (
      "FOLDER/libscorefield-engine.so: is not a Scorefield engine; run 'make setup' again",
      { folder in
        // The smallest library this process has loaded, but for engines, its libc and its loader.
        let mapped = Set(systemLines("/proc/self/maps").compactMap { $0.split(separator: " ").last.map(String.init) })
        let libraries = mapped.filter { path in
          path.hasPrefix("/") && path.contains(".so") && !["engine", "/libc.", "/ld-"].contains { path.contains($0) }
        }
        func size(_ path: String) -> Int {
          (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? .max
        }
        let path = try #require(libraries.min { size($0) < size($1) })
        try replacePlug(folder, by: Data(contentsOf: URL(filePath: path)))
      }
    ),
  ]

  @Test("a broken folder is described in one sentence", arguments: damages.keys.sorted())
  func damaged(_ name: String) throws {
    let (sentence, damage) = try #require(Self.damages[name])
    try Self.withCopy { folder in
      let library =
        try Self.lines(of: folder).last { $0.hasSuffix("libtorch_cpu.so") }?.split(separator: " ").last ?? ""
      try damage(folder)
      let error = #expect(throws: EngineError.self) { try Engine.examine(folder) }
      let expected = sentence.replacing("FOLDER", with: folder).replacing("LIBRARY", with: library)
      #expect(error?.description == expected)
    }
  }

  @Test("an unbroken copy serves, beside the one in use")
  func unbroken() throws {
    // First: libtorch is loaded once in a process, and must not come by way of a folder that goes away.
    try Engine.load()
    try Self.withCopy { try Engine.examine($0) }
    #expect((Tensor([1.0]) + 1).item == 2)
  }

  @Test("the folder is looked for above where the search starts, the first start first")
  func finding() throws {
    try withTemporaryFolder { folder in
      try FileManager.default.createDirectory(atPath: "\(folder)/a/.engine", withIntermediateDirectories: true)
      try FileManager.default.createDirectory(atPath: "\(folder)/b/.engine", withIntermediateDirectories: true)
      try Self.write([], to: "\(folder)/b/.engine")
      let found = try Engine.findFolder(above: ["\(folder)/a/deep/down/file", "\(folder)/b/file"])
      #expect(found == "\(folder)/b/.engine", "a folder without manifest is none")
      try Self.write([], to: "\(folder)/a/.engine")
      #expect(
        try Engine.findFolder(above: ["\(folder)/a/deep/down/file", "\(folder)/b/file"]) == "\(folder)/a/.engine")
    }
    let error = #expect(throws: EngineError.self) { try Engine.findFolder(above: ["/nowhere/at/all"]) }
    #expect(
      error?.description
        == "engine: libtorch is not set up; run 'make setup' in the package, or set SCOREFIELD_ENGINE")
  }

  @Test("a plug of another interface, or over another libtorch, is refused")
  func mismatches() {
    #expect(Engine.mismatch(interface: Engine.interface, built: "2.13.0+cpu", found: "2.13.0+cpu") == nil)
    #expect(
      Engine.mismatch(interface: Engine.interface, built: "2.13.0+cpu", found: "2.11.0+cpu")
        == "was built for libtorch 2.13.0+cpu, but libtorch 2.11.0+cpu was found")
    func unread() -> String { fatalError("the strings of another interface are not where they are expected") }
    #expect(
      Engine.mismatch(interface: 99, built: unread(), found: unread())
        == "speaks version 99 of the interface, this program version \(Engine.interface)")
  }

  @Test("the checksum is that of POSIX cksum")
  func checksum() {
    #expect(EngineManifest.checksum([]) == 4_294_967_295)
    #expect(EngineManifest.checksum(Array("123456789".utf8)) == 930_766_865)
    #expect(EngineManifest.checksum([UInt8](repeating: 0, count: 300)) == 351_385_237)
  }

  @Test(
    "the first tensor stops a process whose engine is broken, with that sentence",
    arguments: ["manifest missing", "plug truncated", "one bit flipped", "libtorch of another size"])
  func firstTensor(_ name: String) async throws {
    let (sentence, _) = try #require(Self.damages[name])
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [name] in
      try Self.withCopy { folder in
        try Self.damages[name]?.damage(folder)
        setenv("SCOREFIELD_ENGINE", folder, 1)
        FileHandle.standardError.write(Data("\(folder)\n".utf8))
        _ = Tensor([1.0])
      }
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self).split(separator: "\n").map(
      String.init)
    let folder = try #require(words.first)
    let expected = sentence.replacing("FOLDER", with: folder).replacing("LIBRARY", with: "")
    #expect(words.contains { $0.contains("Fatal error: ") && $0.hasSuffix(expected) }, "\(words.prefix(5))")
    try? FileManager.default.removeItem(atPath: folder)
  }

  @Test("a program may ask first")
  func asking() async {
    await #expect(processExitsWith: .success) {
      setenv("SCOREFIELD_ENGINE", "/nowhere", 1)
      let error = #expect(throws: EngineError.self) { try Engine.load() }
      #expect(
        error?.description
          == "/nowhere: holds no engine; run 'Scripts/bootstrap /nowhere', or unset SCOREFIELD_ENGINE")
      // The outcome is remembered.
      setenv("SCOREFIELD_ENGINE", "", 1)
      #expect(throws: EngineError.self) { try Engine.load() }
    }
  }
}
