import CScorefieldEngine
import ScorefieldArrays

/// A TorchScript module of a file: a network that was made elsewhere, as a function of tensors.
///
/// It is in evaluation mode and its weights are constants; derivatives with respect to what it is given go through it.
/// Python makes such files by `torch.jit.script(module).save(path)` or `torch.jit.trace(module, example).save(path)`.
public final class ScriptModule: Sendable {
  public let path: String
  public let device: Device
  // Constant after `init`; libtorch runs a module on any thread.
  nonisolated(unsafe) private let handle: ct_script

  /// Loads a module.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - type: The type of its floating-point weights; the file's own where left out.
  ///   - device: Where its weights are.
  /// - Throws: Where the file cannot be read or is no TorchScript module.
  public init(_ path: String, type: ElementType? = nil, on device: Device = .cpu) throws(ArrayFileError) {
    (self.path, self.device) = (path, device)
    // A file that is not there is told as every other.
    let bytes = try Bytes(mapping: path)
    var script: ct_script?
    guard Engine.api.script_load(path, device.description, &script) == CT_OK, let script else {
      throw Self.refusal(of: path, beginning: bytes.withUnsafeBytes { Array($0.prefix(2)) })
    }
    if let type {
      guard let code = type.engineCode, Engine.api.script_convert(script, Int32(code)) == CT_OK else {
        let reason = Failure(Engine.failure).words
        Engine.api.script_release(script)
        throw ArrayFileError(
          path, .badData, "cannot be had in \(type.rawValue) (\(reason))", repair: "use float32 or float64")
      }
    }
    handle = script
  }

  deinit { Engine.api.script_release(handle) }

  /// What the module answers.
  ///
  /// - Parameter inputs: What its `forward` takes.
  /// - Returns: What it returns, one tensor.
  /// - Throws: Where the module does not take such inputs, or returns no tensor.
  public func callAsFunction(_ inputs: Tensor...) throws(ArrayFileError) -> Tensor {
    var answer: ct_tensor?
    let status = withExtendedLifetime(inputs) {
      Engine.api.script_call(handle, inputs.map { Optional($0.handle) }, Int32(inputs.count), &answer)
    }
    guard status == CT_OK, let answer else {
      let failure = Failure(Engine.failure)
      if failure.isOwn {
        throw ArrayFileError(path, .badData, "raises \(failure.words)", repair: "mend the module, or give another")
      }
      let given = inputs.map { "\($0.elementType.rawValue) \($0.shape)" }.joined(separator: ", ")
      throw ArrayFileError(
        path, .badData, "does not take \(given) (\(failure.words))", repair: "give a module that maps such a batch")
    }
    return Tensor(owning: answer)
  }

  /// Why a file is no module, after libtorch has said so of it.
  private static func refusal(of path: String, beginning: [UInt8]) -> ArrayFileError {
    let words = Failure(Engine.failure).words
    let isArchive = beginning == Array("PK".utf8)
    // Both ways to save make archives, these alone have constants; the older form of torch.save is one pickle.
    if isArchive ? words.contains("locating file constants.pkl") : beginning.first == 0x80 {
      return ArrayFileError(
        path, .badData, "was saved with torch.save and is no TorchScript module",
        repair: "save it with torch.jit.script(module).save(…)")
    }
    guard isArchive else {
      return ArrayFileError(
        path, .badData, "is no TorchScript module", repair: "save one with torch.jit.script(module).save(…)")
    }
    let sentence = words.firstRange(of: ". ").map { String(words[..<$0.lowerBound]) } ?? words
    return ArrayFileError(
      path, .badData, "is no TorchScript module that libtorch \(Engine.torchVersion) reads (\(sentence))",
      repair: "save it anew with torch.jit.script(module).save(…)")
  }

  /// What libtorch says of a failure, in one line, without its trace through the module's code.
  private struct Failure {
    let words: String
    /// Whether the module itself raised it.
    let isOwn: Bool

    init(_ text: String) {
      let lines = text.split(whereSeparator: \.isNewline)
      // The lines of a trace that follow what they point at are indented, and the error comes after them.
      let mark = lines.lastIndex { $0.hasSuffix("<--- HERE") }
      let after = mark.map { lines[$0...].dropFirst().drop { $0.hasPrefix(" ") } } ?? []
      let told = after.map(\.trimmed).filter { !$0.isEmpty }.joined(separator: " ")
      guard !told.isEmpty else {
        (words, isOwn) = (lines.first?.trimmed ?? "it does not say why", false)
        return
      }
      // What Python raises keeps its class, in Python's own words; what an operation finds is a RuntimeError.
      let (raised, found) = ("builtins.", "RuntimeError: ")
      let own = told.hasPrefix(found) ? String(told.dropFirst(found.count)) : told
      isOwn = !told.hasPrefix(found) || own.hasPrefix("AssertionError")
      words = own.hasPrefix(raised) ? String(own.dropFirst(raised.count)) : own
    }
  }
}

extension Substring {
  fileprivate var trimmed: String {
    String(drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
  }
}
