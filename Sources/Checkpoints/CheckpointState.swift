import ScorefieldArrays
import ScorefieldTensorCore

/// Everything to go on from a step of a training.
public struct CheckpointState<Info: Decodable & Sendable>: Sendable {
  /// How many steps were done.
  public let step: Int
  public let tensors: [String: Tensor]
  /// What was written beside the tensors.
  public let info: Info
  /// The file it was read from.
  public let path: String
  /// The newer states that could not be used, the newest first, and why.
  public let damaged: [ArrayFileError]

  init(_ file: StateFile, damaged: [ArrayFileError]) throws(ArrayFileError) {
    self.info = try JSONText.decode(
      Info.self, from: Array(file.info.utf8).withUnsafeBytes { Bytes(copying: $0) }, name: file.path,
      repair: "go on with the version that wrote it, or start afresh in another folder")
    self.tensors = file.arrays.mapValues { Tensor($0) }
    (self.step, self.path, self.damaged) = (file.step, file.path, damaged)
  }
}
