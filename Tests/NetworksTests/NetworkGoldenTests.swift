import Scorefield
import ScorefieldTestSupport
import Testing

/// Networks of known parameters against PyTorch: `Tests/Golden/make_networks.py`.
@Suite struct NetworkGoldenTests {
  static let tolerance = 1e-10

  /// A network made as the script made it, with the arrays stored for it.
  struct World {
    let name: String
    let golden: Golden
    var network: any Network
    var head: ScalarHead

    init(_ name: String) throws {
      golden = try Golden("networks")
      self.name = name
      var generator = Generator(seed: 0)
      network =
        name == "mlp"
        ? MLP(try golden.metadata(name), using: &generator) : UNet(try golden.metadata(name), using: &generator)
      head = ScalarHead(featureWidth: network.featureWidth, width: network.featureWidth, using: &generator)
      network = try loaded(network, "parameter.")
      head = try loaded(head, "head.")
    }

    subscript(_ what: String) -> Tensor { get throws { try golden["\(name).\(what)"] } }

    func loaded<M: Module>(_ module: M, _ prefix: String) throws -> M {
      module.replacing(
        parameters: try module.namedParameters.map { parameter in
          let found = try self[prefix + parameter.name]
          #expect(found.shape == parameter.tensor.shape, "\(parameter.name)")
          return found
        })
    }

    func check(_ actual: Tensor, _ what: String) throws {
      let expected = try self[what]
      #expect(actual.elementType == .float64)
      expectClose(actual, expected, within: tolerance, "\(name).\(what)")
    }
  }

  @Test("features, outputs and scalars are PyTorch's", arguments: ["mlp", "grey", "colour"])
  func values(_ name: String) throws {
    let world = try World(name)
    let condition = name == "grey" ? nil : try world["condition"]
    let (x, noise) = try (world["input"], world["noise"])
    let features = world.network.features(x, noise: noise, condition: condition)
    try world.check(features, "features")
    try world.check(world.network.output(of: features, like: x), "output")
    try world.check(world.head(features), "scalar")
    let both = TwoHeaded(world.network, scalar: world.head)
    try world.check(both(x, noise: noise, condition: condition).output, "output")
    try world.check(both(x, noise: noise, condition: condition).scalar, "scalar")
    try world.check(both.scalar(x, noise: noise, condition: condition), "scalar")
  }

  @Test("gradients by every parameter and every argument are PyTorch's", arguments: ["mlp", "grey", "colour"])
  func gradients(_ name: String) throws {
    let world = try World(name)
    let model = TwoHeaded(world.network, scalar: world.head)
    let conditional = name != "grey"
    let arguments = try (["input", "noise"] + (conditional ? ["condition"] : [])).map { try world[$0] }
    let (u, w) = try (world["cotangent"], world["scalar_cotangent"])
    let gradients = valueAndGradients(at: arguments + model.parameters) { inputs in
      let found = model.replacing(parameters: Array(inputs.dropFirst(arguments.count)))(
        inputs[0], noise: inputs[1], condition: conditional ? inputs[2] : nil)
      return (u * found.output).sum() + (w * found.scalar).sum()
    }.gradients
    for (argument, gradient) in zip(["input", "noise", "condition"], gradients.prefix(arguments.count)) {
      try world.check(gradient, "gradient.\(argument)")
    }
    for (parameter, gradient) in zip(model.namedParameters, gradients.dropFirst(arguments.count)) {
      let path = parameter.name.split(separator: ".")
      let name = (path[0] == "scalar" ? "head." : "") + path.dropFirst().joined(separator: ".")
      try world.check(gradient.rank > 1 ? gradient.sum(0) : gradient, "gradient.\(name)")
    }
  }
}
