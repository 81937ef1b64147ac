import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct LoadingTests {
  private func network(_ seed: UInt64, width: Int = 4, depth: Int = 2) -> MLP {
    var generator = Generator(seed: seed)
    return MLP(MLP.Configuration(dimension: 2, width: width, depth: depth), using: &generator)
  }

  private func sentence(_ tensors: [String: Tensor], into network: MLP, under prefix: String? = nil) -> String? {
    do {
      _ = try network.loading(tensors, under: prefix, from: "a.safetensors")
      return nil
    } catch {
      return error.description
    }
  }

  private func tensors(_ network: MLP, under prefix: String? = nil) -> [String: Tensor] {
    let named = prefix.map { network.namedParameters(under: $0) } ?? network.namedParameters
    return Dictionary(uniqueKeysWithValues: named.map { ($0.name, $0.tensor) })
  }

  @Test("a network has the weights of the file, in its own type")
  func file() throws {
    try withTemporaryFolder { path in
      let (trained, fresh) = (network(1), network(2))
      let folder = CheckpointFolder(path)
      let writer = try CheckpointWriter(folder)
      try writer.writeModel(trained.namedParameters)
      let loaded = try fresh.loading(folder.readModel())
      for (a, b) in zip(loaded.parameters, trained.parameters) { #expect(a.isIdentical(to: b)) }

      try writer.writeModel(trained.mapParameters { $0.to(.float64) }.namedParameters)
      let narrowed = try fresh.loading(folder.readModel())
      for (a, b) in zip(narrowed.parameters, trained.parameters) {
        #expect(a.elementType == .float32 && a.isIdentical(to: b))
      }
    }
  }

  @Test("several networks share a file under their prefixes")
  func prefixes() throws {
    let (a, b) = (network(1), network(2))
    let both = tensors(a, under: "model").merging(tensors(b, under: "model2")) { $1 }
    #expect(both.keys.contains("model.layers.0.weight"))
    for (prefix, expected) in [("model", a), ("model2", b)] {
      let loaded = try network(3).loading(both, under: prefix, from: "x")
      for (a, b) in zip(loaded.parameters, expected.parameters) { #expect(a.isIdentical(to: b)) }
    }
    #expect(
      sentence(both, into: network(3), under: "average")
        == "a.safetensors: no tensor named 'average.layers.0.weight', nor 5 more of the network's; "
        + "build the network that was trained, as its config.json says")
  }

  @Test("a missing tensor suggests the nearest name that nothing else has")
  func missing() {
    var found = tensors(network(1))
    found["layer.1.weight"] = found.removeValue(forKey: "layers.1.weight")
    #expect(
      sentence(found, into: network(2))
        == "a.safetensors: no tensor named 'layers.1.weight'; did you mean 'layer.1.weight'?")
    found["layer.1.weight"] = nil
    #expect(
      sentence(found, into: network(2))
        == "a.safetensors: no tensor named 'layers.1.weight'; "
        + "build the network that was trained, as its config.json says")
  }

  @Test("another shape names both")
  func shapes() {
    // Two coordinates and nine features of the noise go in.
    #expect(
      sentence(tensors(network(1, width: 5)), into: network(2))
        == "a.safetensors: tensor 'layers.0.weight' has shape [5, 11], the network's has [4, 11]; "
        + "build the network that was trained, as its config.json says")
  }

  @Test("tensors that are left over are named")
  func extra() {
    var found = tensors(network(1))
    found["b"] = Tensor([1])
    #expect(
      sentence(found, into: network(2))
        == "a.safetensors: the network has no tensor named 'b'; "
        + "build the network that was trained, as its config.json says")
    for name in ["c", "d", "e", "f"] { found[name] = Tensor([1]) }
    #expect(
      sentence(found, into: network(2))
        == "a.safetensors: the network has no tensor named 'b', 'c', 'd' and 2 more; "
        + "build the network that was trained, as its config.json says")
  }

  @Test("whole numbers are no weights")
  func types() {
    var found = tensors(network(1))
    found["last.bias"] = Tensor([1, 2] as [Int])
    #expect(
      sentence(found, into: network(2))
        == "a.safetensors: tensor 'last.bias' is int64, the network's is float32; convert it first")
  }
}
