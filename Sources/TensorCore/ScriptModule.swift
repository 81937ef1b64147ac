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
    _ = try Bytes(mapping: path)
    var script: ct_script?
    guard Engine.api.script_load(path, device.description, &script) == CT_OK, let script else {
      throw ArrayFileError(
        path, .badData, "is no TorchScript module that libtorch \(Engine.torchVersion) reads (\(Self.reason))",
        repair: "save one with torch.jit.script or torch.jit.trace")
    }
    if let type {
      guard let code = type.engineCode, Engine.api.script_convert(script, Int32(code)) == CT_OK else {
        let reason = Self.reason
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
      let given = inputs.map { "\($0.elementType.rawValue) \($0.shape)" }.joined(separator: ", ")
      throw ArrayFileError(
        path, .badData, "does not take \(given) (\(Self.reason))", repair: "give a module that maps such a batch")
    }
    return Tensor(owning: answer)
  }

  /// The last line of libtorch's reason that says something: the ones before it are a trace of the module's own code.
  private static var reason: String {
    let lines = Engine.failure.split(whereSeparator: \.isNewline).map { $0.trimmed }.filter { !$0.isEmpty }
    let told = lines.last { $0.hasPrefix("RuntimeError: ") }.map { String($0.dropFirst(14)) }
    return told ?? lines.first ?? "it does not say why"
  }
}

extension Substring {
  fileprivate var trimmed: String {
    String(drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
  }
}
