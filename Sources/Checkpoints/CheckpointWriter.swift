import ScorefieldArrays
import ScorefieldTensorCore

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Writes into a checkpoint folder, which is its own as long as it lives.
///
/// Each file is written under another name, waited for until it is on the disk, and renamed. Where that fails (a full disk,
/// say) the file that was there before is still there.
public final class CheckpointWriter: Sendable {
  public let folder: CheckpointFolder
  /// Open as long as the folder is claimed; the system gives it back when the process ends, however it ends.
  private let claim: Int32
  /// The folders that were not there before, outermost first.
  private let made: [String]

  /// What only a killed writer leaves behind.
  private static let temporaryPrefix = ".checkpoint-"
  /// Two, so that one is left should the disk have lost the newest.
  private static let statesKept = 2

  /// Makes the folder where there is none, and claims it.
  ///
  /// - Parameter folder: The folder; those around it are made too.
  /// - Throws: Where it cannot be made, or somebody writes into it already.
  public init(_ folder: CheckpointFolder) throws(ArrayFileError) {
    var made: [String] = []
    try Self.make(folder.path, &made)
    try Self.make(folder.statePath, &made)
    let descriptor = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw ArrayFileError(
        folder.path, .cannotWrite, "cannot be opened (\(String(cString: strerror(errno))))",
        repair: "check the folder and its permissions")
    }
    // Where the file system has no locks, nobody can be kept out.
    if flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK {
      close(descriptor)
      throw ArrayFileError(
        folder.path, .cannotWrite, "another training is writing into it",
        repair: "wait until it ends, or give another folder")
    }
    (self.folder, claim, self.made) = (folder, descriptor, made)
    for path in [folder.path, folder.statePath] { Self.sweep(path) }
  }

  deinit { close(claim) }

  /// Writes the weights that other commands use.
  ///
  /// - Parameters:
  ///   - tensors: The weights and their names.
  ///   - metadata: Notes about them.
  /// - Throws: Where they cannot be written; the weights before them are still there.
  public func writeModel(
    _ tensors: [(name: String, tensor: Tensor)], metadata: [String: String] = [:]
  ) throws(ArrayFileError) {
    let path = folder.modelPath
    try write(SafeTensors.encode(hostArrays(tensors), metadata: metadata, name: path), to: path)
  }

  /// Writes what the network is made by.
  public func writeConfiguration(_ configuration: some Encodable) throws(ArrayFileError) {
    let path = folder.configurationPath
    let text = try JSONText.encode(configuration, isPretty: true, name: path) + "\n"
    try write([Array(text.utf8).withUnsafeBytes { Bytes(copying: $0) }], to: path)
  }

  /// Writes everything to go on from a step, then removes all states but this one and the one before it.
  ///
  /// States of later steps go too: they are damaged, or of a training that was given up.
  ///
  /// - Parameters:
  ///   - step: How many steps were done.
  ///   - tensors: Weights, moments, averages, states of generators, and their names.
  ///   - info: The rest.
  /// - Throws: Where it cannot be written; the states before it are still there.
  public func writeState(
    step: Int, tensors: [(name: String, tensor: Tensor)], info: some Encodable
  ) throws(ArrayFileError) {
    guard step >= 0 else { fatalError("writeState(step: \(step)): a step is at least 0") }
    let path = folder.statePath(step)
    let text = try JSONText.encode(info, isPretty: false, name: path)
    try write(StateFile.encode(step: step, info: text, arrays: hostArrays(tensors), path: path), to: path)

    let steps = try folder.steps()
    let kept = steps.filter { $0 <= step }.suffix(Self.statesKept)
    for other in steps where !kept.contains(other) { unlink(folder.statePath(other)) }
  }

  /// Removes all states, so that a training from the beginning does not take up another one's.
  public func removeStates() throws(ArrayFileError) {
    for step in try folder.steps() where unlink(folder.statePath(step)) != 0 {
      throw ArrayFileError(
        folder.statePath(step), .cannotWrite, "cannot be removed (\(String(cString: strerror(errno))))",
        repair: "check the folder and its permissions")
    }
  }

  /// Takes back what a training left that came to nothing: its configuration, its log, and the folders that were made for it.
  ///
  /// - Parameter others: Files of it that are not the writer's.
  public func withdraw(_ others: [String] = []) {
    for path in [folder.configurationPath, folder.metricsPath] + others { unlink(path) }
    // Only empty ones go.
    for path in made.reversed() { rmdir(path) }
  }

  private func hostArrays(_ tensors: [(name: String, tensor: Tensor)]) -> [(name: String, array: HostArray)] {
    tensors.map { (name: $0.name, array: $0.tensor.hostArray) }
  }

  private func write(_ parts: [Bytes], to path: String) throws(ArrayFileError) {
    try AtomicFile.write([(parts, path)], temporaryPrefix: Self.temporaryPrefix)
  }

  /// Removes what a killed writer left.
  private static func sweep(_ path: String) {
    guard let folder = opendir(path) else { return }
    defer { closedir(folder) }
    for name in CheckpointFolder.entries(of: folder) where name.hasPrefix(temporaryPrefix) { unlink("\(path)/\(name)") }
  }

  /// Makes a folder, and those around it, unless it is there.
  private static func make(_ path: String, _ made: inout [String]) throws(ArrayFileError) {
    var status = stat()
    if stat(path, &status) == 0 {
      guard status.st_mode & S_IFMT == S_IFDIR else { throw .notAFolder(path, .cannotWrite) }
      return
    }
    let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
    let parent = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    if parent != "/", parent != "." { try make(parent, &made) }
    let isNew = mkdir(path, 0o777) == 0
    if isNew { made.append(path) }
    guard isNew || errno == EEXIST else {
      throw errno == ENOSPC
        ? ArrayFileError(path, .cannotWrite, "the disk is full", repair: "free some space and write it again")
        : ArrayFileError(
          path, .cannotWrite, "cannot be made (\(String(cString: strerror(errno))))",
          repair: "check the path and its permissions")
    }
    _ = AtomicFile.synchronize(folder: parent)
  }
}
