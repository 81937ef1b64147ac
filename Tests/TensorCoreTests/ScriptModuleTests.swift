import Foundation
import ScorefieldArrays
import ScorefieldTensorCore
import ScorefieldTestSupport
import Testing

/// Modules that Python saved, as functions of tensors.
@Suite struct ScriptModuleTests {
  static func path(_ name: String) -> String {
    URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../Golden/scripts/\(name).pt").standardized
      .path
  }

  @Test("modules answer as in Python, and derivatives go through them", arguments: ["loss", "classifier", "features"])
  func answers(_ name: String) throws {
    let golden = try Golden("scripts")
    let module = try ScriptModule(Self.path(name))
    let x = try golden["\(name).input"]
    expectClose(try module(x), try golden["\(name).output"], within: 1e-13)
    for _ in 0..<3 {
      let (value, pullback) = try vjp(at: x) { x throws(ArrayFileError) in try module(x) }
      expectClose(pullback(2 * value), try golden["\(name).gradient"], within: 1e-12)
    }
    // Products of second derivatives too, by layers.
    let v = SplitMix(seed: 4).unit(x.shape)
    let step = 1e-5
    func slope(_ x: Tensor) throws -> Tensor {
      try vjp(at: x) { x throws(ArrayFileError) in try module(x).squared().flattened.sum(-1) }.pullback(.ones([6]))
    }
    let difference = (try slope(x + step * v) - (try slope(x - step * v))) / (2 * step)
    let tangent = jvp(at: x, along: v) { x in
      let (value, pullback) = try! vjp(at: x) { x throws(ArrayFileError) in try module(x) }
      return pullback(2 * value)
    }.derivative
    expectClose(tangent, difference, within: 1e-7)
  }

  @Test("weights can be had in another type")
  func types() throws {
    let golden = try Golden("scripts")
    let module = try ScriptModule(Self.path("loss"), type: .float32)
    let answer = try module(try golden["loss.input"].to(.float32))
    #expect(answer.elementType == .float32)
    expectClose(answer.to(.float64), try golden["loss.output"], within: 1e-5)
  }

  @Test("what is no module, or does not take what it is given, is said in one sentence")
  func refusals() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/x.pt"
      try Data("no module".utf8).write(to: URL(filePath: path))
      let error = #expect(throws: ArrayFileError.self) { _ = try ScriptModule(path) }
      let text = try #require(error?.description)
      #expect(text == "\(path): is no TorchScript module; save one with torch.jit.script(module).save(…)")
      // An archive that was cut off.
      try Data(contentsOf: URL(filePath: Self.path("loss"))).prefix(900).write(to: URL(filePath: path))
      let cut = #expect(throws: ArrayFileError.self) { _ = try ScriptModule(path) }
      #expect(
        cut?.description
          == "\(path): is no TorchScript module that libtorch \(Engine.torchVersion) reads (PytorchStreamReader failed reading zip "
          + "archive: failed finding central directory); save it anew with torch.jit.script(module).save(…)")
    }
    for name in ["state", "old"] {
      let error = #expect(throws: ArrayFileError.self) { _ = try ScriptModule(Self.path(name)) }
      #expect(
        error?.description
          == "\(Self.path(name)): was saved with torch.save and is no TorchScript module; "
          + "save it with torch.jit.script(module).save(…)")
    }
    #expect(throws: ArrayFileError.self) { _ = try ScriptModule("nowhere.pt") }
    let module = try ScriptModule(Self.path("loss"))
    let wrong = #expect(throws: ArrayFileError.self) { _ = try module(.zeros([2, 3])) }
    let text = try #require(wrong?.description)
    #expect(text.hasPrefix("\(Self.path("loss")): does not take float64 [2, 3] (") && !text.contains("\n"), "\(text)")
    for (name, words) in [("raises", "ValueError: no face was found"), ("asserts", "AssertionError: needs a face")] {
      let own = #expect(throws: ArrayFileError.self) { _ = try ScriptModule(Self.path(name))(.zeros([2, 3])) }
      #expect(own?.description == "\(Self.path(name)): raises \(words); mend the module, or give another")
    }
    let pair = #expect(throws: ArrayFileError.self) { _ = try ScriptModule(Self.path("pair"))(.zeros([2])) }
    #expect(
      pair?.description
        == "\(Self.path("pair")): does not take float64 [2] (it answers with Tuple, not with a tensor); "
        + "give a module that maps such a batch")
  }
}
