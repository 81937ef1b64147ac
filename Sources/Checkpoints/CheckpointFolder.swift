import ScorefieldArrays

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A folder with what a training learned and what it needs to go on.
///
///     model.safetensors          the weights other commands use
///     config.json                what the network is made by
///     state/<step>.safetensors   everything to go on from a step; the last two
///     metrics.jsonl              what was measured on the way
///
/// A ``CheckpointWriter`` writes each file whole or not at all, so a process that is killed at any moment leaves a folder
/// from which another goes on. Reading changes nothing, and may happen while somebody writes.
public struct CheckpointFolder: Sendable {
  public let path: String

  public init(_ path: String) {
    self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
  }

  public var modelPath: String { "\(path)/model.safetensors" }
  public var configurationPath: String { "\(path)/config.json" }
  public var metricsPath: String { "\(path)/metrics.jsonl" }
  public var statePath: String { "\(path)/state" }

  /// Whether something is there that says what a network is made by.
  public var hasConfiguration: Bool { access(configurationPath, F_OK) == 0 }

  /// Whether there is a state to go on from, damaged or not.
  public func hasState() throws(ArrayFileError) -> Bool { try !steps().isEmpty }

  /// Whether there are weights of a model.
  public var hasModel: Bool { access(modelPath, F_OK) == 0 }

  /// The weights of the model.
  public func readModel() throws(ArrayFileError) -> SafeTensorsFile { try SafeTensorsFile(modelPath) }

  /// What the network is made by.
  public func readConfiguration<C: Decodable>(as type: C.Type = C.self) throws(ArrayFileError) -> C {
    try JSONText.decode(
      type, from: Bytes(mapping: configurationPath), name: configurationPath,
      repair: "restore the file that training wrote")
  }

  /// The newest state from which training can go on; nil where none was written yet.
  ///
  /// A state that is cut short or changed is passed over for the one before it, and the value says so. Tensors are views
  /// of the file, which stays readable when it is removed.
  ///
  /// - Parameter type: The type of what was written beside the tensors.
  /// - Returns: The state, all of it checked.
  /// - Throws: Where there are states but all are damaged, or the newest that is whole has no such `info`.
  public func latestState<Info: Decodable & Sendable>(
    as type: Info.Type = Info.self
  ) throws(ArrayFileError) -> CheckpointState<Info>? {
    var damaged: [ArrayFileError] = []
    for step in try steps().reversed() {
      let file: StateFile
      do { file = try StateFile(statePath(step), step: step) } catch {
        damaged.append(error)
        continue
      }
      return try CheckpointState(file, damaged: damaged)
    }
    guard let newest = damaged.first else { return nil }
    let count = damaged.count == 1 ? "its only state is" : "all of its \(damaged.count) states are"
    throw ArrayFileError(
      statePath, .badData, "\(count) damaged (\(newest.path.split(separator: "/").last ?? "") \(newest.problem))",
      repair: "restore one from a copy, or start afresh in another folder")
  }

  func statePath(_ step: Int) -> String { "\(statePath)/\(step).safetensors" }

  /// The steps of which there are states, in order.
  func steps() throws(ArrayFileError) -> [Int] {
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFDIR { throw .notAFolder(path, .badData) }
    guard let folder = opendir(statePath) else {
      if errno == ENOENT { return [] }
      if errno == ENOTDIR { throw .notAFolder(statePath, .badData) }
      throw ArrayFileError(
        statePath, .badData, "cannot be opened as a folder (\(String(cString: strerror(errno))))",
        repair: "check the path and its permissions")
    }
    defer { closedir(folder) }
    return Self.entries(of: folder).compactMap { name in
      guard name.hasSuffix(".safetensors"), let step = Int(name.dropLast(12)), step >= 0 else { return nil }
      return name == "\(step).safetensors" ? step : nil
    }
    .sorted()
  }

  /// The names in an open folder.
  static func entries(of folder: OpaquePointer) -> [String] {
    var names: [String] = []
    while let entry = readdir(folder) {
      names.append(
        withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
    }
    return names
  }
}

extension ArrayFileError {
  static func notAFolder(_ path: String, _ category: Category) -> ArrayFileError {
    ArrayFileError(path, category, "is not a folder", repair: "give another path, or move that file away")
  }
}
