import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// Disks that fail: what was there stays.
@Suite struct BadDiskTests {
  /// Runs a body in a file system of its own; false where the process may not make one.
  private func withFileSystem(options: String, _ body: (String) throws -> Void) throws -> Bool {
    #if os(Linux)
      return try withTemporaryFolder { path in
        guard mount("none", path, "tmpfs", 0, options) == 0 else { return false }
        // Mappings may still refer to it.
        defer { umount2(path, Int32(MNT_DETACH)) }
        try body(path)
        return true
      }
    #else
      return false
    #endif
  }

  private static let mayMount: Bool = {
    #if os(Linux)
      let path = FileManager.default.temporaryDirectory.appending(path: "mount-\(UUID())").path
      guard mkdir(path, 0o700) == 0 else { return false }
      defer { rmdir(path) }
      guard mount("none", path, "tmpfs", 0, "size=4k") == 0 else { return false }
      return umount(path) == 0
    #else
      return false
    #endif
  }()

  @Test("on a full disk the last checkpoint survives", .enabled(if: mayMount, "needs the right to mount"))
  func full() throws {
    let ran = try withFileSystem(options: "size=256k") { path in
      let folder = CheckpointFolder(path)
      let writer = try CheckpointWriter(folder)
      try writer.writeModel([("a", Tensor([1]))])
      try writer.writeConfiguration(["a": 1])
      for step in [1, 2] { try writer.writeState(step: step, tensors: uniformState(step), info: step) }
      let attempts: [(name: String, write: () throws -> Void)] = [
        ("state/3.safetensors", { try writer.writeState(step: 3, tensors: uniformState(3, count: 20_000), info: 3) }),
        ("model.safetensors", { try writer.writeModel([("a", .zeros([40_000]))]) }),
        ("config.json", { try writer.writeConfiguration([Int](0..<100_000)) }),
      ]
      for (name, write) in attempts {
        let error = #expect(throws: ArrayFileError.self) { try write() }
        #expect(error?.description == "\(path)/\(name): the disk is full; free some space and write it again")
        #expect(error?.category == .cannotWrite)
      }
      #expect(try names(in: path) == ["config.json", "model.safetensors", "state"])
      #expect(try names(in: "\(path)/state") == ["1.safetensors", "2.safetensors"])
      let state = try #require(try folder.latestState(as: Int.self))
      #expect(state.step == 2 && isUniform(state.tensors, 2) && state.damaged.isEmpty)
      #expect(try Tensor(folder.readModel().array(named: "a")).integers == [1])
      #expect(try folder.readConfiguration(as: [String: Int].self) == ["a": 1])
      // Room again, and it goes on.
      try writer.writeState(step: 3, tensors: uniformState(3), info: 3)
      #expect(try folder.latestState(as: Int.self)?.step == 3)
    }
    #expect(ran)
  }

  @Test("a disk that cannot be written is a clear error", .enabled(if: mayMount, "needs the right to mount"))
  func readOnly() throws {
    let ran = try withFileSystem(options: "ro,size=64k") { path in
      let error = #expect(throws: ArrayFileError.self) { try CheckpointWriter(CheckpointFolder("\(path)/run")) }
      #expect(
        error?.description
          == "\(path)/run: cannot be made (Read-only file system); check the path and its permissions")
      #expect(error?.category == .cannotWrite)
    }
    #expect(ran)
  }

  @Test("a state that outgrows the largest file allowed leaves the one before it")
  func limited() async {
    await #expect(processExitsWith: .success) {
      try withTemporaryFolder { path in
        let folder = CheckpointFolder(path)
        let writer = try CheckpointWriter(folder)
        try writer.writeState(step: 1, tensors: uniformState(1), info: 1)
        signal(SIGXFSZ, SIG_IGN)
        var limit = rlimit(rlim_cur: 8192, rlim_max: 8192)
        #if os(Linux)
          setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
        #else
          setrlimit(RLIMIT_FSIZE, &limit)
        #endif
        let expected =
          "\(path)/state/2.safetensors: cannot be written (File too large); check the folder and its permissions"
        do throws(ArrayFileError) {
          try writer.writeState(step: 2, tensors: uniformState(2, count: 1000), info: 2)
          exit(1)
        } catch {
          guard error.description == expected else { exit(2) }
        }
        let state = try folder.latestState(as: Int.self)
        guard state?.step == 1, isUniform(state!.tensors, 1), state!.damaged.isEmpty else { exit(3) }
        guard try names(in: "\(path)/state") == ["1.safetensors"] else { exit(4) }
      }
    }
  }

  @Test("a writer that is killed at any moment leaves a checkpoint from which to go on")
  func killed() async throws {
    let path = FileManager.default.temporaryDirectory.appending(path: "killed-\(UUID())").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let folder = CheckpointFolder(path)
    var (last, cutShort) = (0, 0)
    for round in 0..<20 {
      // Different moments each time the tests run: none may matter.
      let microseconds = UInt32.random(in: 0...30_000)
      // Every other time in the middle of a file.
      let whileWriting = round % 2 == 1
      await #expect(processExitsWith: .signal(SIGKILL)) {
        [path = path as String, microseconds = microseconds as UInt32, whileWriting = whileWriting as Bool] in
        let folder = CheckpointFolder(path)
        var step = try folder.latestState(as: [Int].self)?.step ?? 0
        let writer = try CheckpointWriter(folder)
        var isCondemned = false
        while true {
          step += 1
          try writer.writeState(step: step, tensors: uniformState(step, count: 100_000), info: [step, -step])
          try writer.writeModel(uniformState(step, count: 100_000))
          if !isCondemned {
            Thread.detachNewThread {
              usleep(microseconds)
              while whileWriting,
                (try? names(in: "\(path)/state"))?.contains(where: { $0.hasPrefix(".checkpoint-") }) != true
              {}
              kill(getpid(), SIGKILL)
            }
          }
          isCondemned = true
        }
      }
      let state = try #require(try folder.latestState(as: [Int].self))
      #expect(state.step > last && state.info == [state.step, -state.step] && state.damaged.isEmpty)
      #expect(isUniform(state.tensors, state.step, count: 100_000))
      let model = try folder.readModel()
      let weights = try Dictionary(uniqueKeysWithValues: model.names.map { ($0, Tensor(try model.array(named: $0))) })
      #expect([state.step - 1, state.step].contains { isUniform(weights, $0, count: 100_000) })
      last = state.step
      cutShort += try (names(in: path) + names(in: "\(path)/state")).count { $0.hasPrefix(".checkpoint-") }
    }
    #expect(cutShort > 0, "no kill hit a file that was being written")
    _ = try CheckpointWriter(folder)
    #expect(try !(names(in: path) + names(in: "\(path)/state")).contains { $0.hasPrefix(".checkpoint-") })
    #expect(try names(in: "\(path)/state").count <= 3)
  }
}
