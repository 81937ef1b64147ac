import Scorefield
import ScorefieldTestSupport
import Testing

/// Every derivative of two small networks against PyTorch's: `Tests/Golden/make_engine.py`.
@Suite struct EngineGoldenTests {
  enum Network: String, CaseIterable, Sendable {
    case mlp, conv

    func callAsFunction(_ x: Tensor, _ w: [Tensor]) -> Tensor {
      switch self {
      case .mlp:
        x.linear(w[0], bias: w[1]).silu().linear(w[2], bias: w[3]).silu().linear(w[4], bias: w[5])
      case .conv:
        x.convolved(w[0], bias: w[1], padding: 1).groupNormalized(groups: 4, weight: w[2], bias: w[3]).silu()
          .convolved(w[4], bias: w[5], padding: 1)
      }
    }
  }

  /// One network in one precision, with the arrays stored for it.
  struct World {
    let network: Network
    let weights: [Tensor]
    private let golden: Golden
    private let prefix: String
    private let tolerance: Double

    init(_ network: Network, _ type: ElementType) throws {
      golden = try Golden("engine")
      self.network = network
      prefix = "\(network).\(type.rawValue)"
      tolerance = type == .float64 ? 1e-12 : 1e-5
      weights = try (0..<6).map { [golden, prefix] in try golden["\(prefix).weight\($0)"] }
    }

    subscript(_ name: String) -> Tensor { get throws { try golden["\(prefix).\(name)"] } }

    var arguments: [Tensor] { get throws { try [self["input"]] + weights } }
    let names = ["input"] + (0..<6).map { "weight\($0)" }

    func f(_ x: Tensor) -> Tensor { network(x, weights) }
    func f(_ arguments: [Tensor]) -> Tensor { network(arguments[0], Array(arguments.dropFirst())) }

    func check(_ name: String, _ actual: Tensor) throws {
      let expected = try self[name]
      #expect(actual.elementType == expected.elementType)
      guard (expected .== 0).all() else { return expectClose(actual, expected, within: tolerance, "\(prefix).\(name)") }
      #expect(actual.shape == expected.shape && actual.abs().max().item < tolerance, "\(prefix).\(name)")
    }
  }

  static let cases = Network.allCases.flatMap { network in
    [ElementType.float32, .float64].map { (network, $0) }
  }

  @Test("values, pullbacks by every argument, and forward derivatives", arguments: cases)
  func first(_ network: Network, _ type: ElementType) throws {
    let world = try World(network, type)
    let (x, u, v) = try (world["input"], world["cotangent"], world["direction"])
    try world.check("forward", world.f(x))

    let (value, gradients) = try valueAndGradients(at: world.arguments) { (u * world.f($0)).sum() }
    expectClose(value, (u * world.f(x)).sum(), within: 0)
    for (name, gradient) in zip(world.names, gradients) { try world.check("vjp.\(name)", gradient) }
    let (forward, pullback) = vjp(at: x, of: world.f)
    try world.check("forward", forward)
    try world.check("vjp.input", pullback(u))

    let (primal, derivative) = jvp(at: x, along: v, of: world.f)
    try world.check("forward", primal)
    try world.check("jvp", derivative)
  }

  @Test("the gradient of a forward derivative, by every argument", arguments: cases)
  func reverseOverForward(_ network: Network, _ type: ElementType) throws {
    let world = try World(network, type)
    let (u, v) = try (world["cotangent"], world["direction"])
    let found = try valueAndGradients(at: world.arguments) { arguments in
      (u * jvp(at: arguments[0], along: v) { world.f([$0] + arguments.dropFirst()) }.derivative).sum()
    }
    for (name, gradient) in zip(world.names, found.gradients) { try world.check("reverse_jvp.\(name)", gradient) }
  }

  @Test("the Hessian along a direction, in the three orders that give it", arguments: cases)
  func hessian(_ network: Network, _ type: ElementType) throws {
    let world = try World(network, type)
    let (x, v) = try (world["input"], world["direction"])
    func energy(_ x: Tensor) -> Tensor { world.f(x).squared().sum() }
    try world.check("hvp", jvp(at: x, along: v) { gradient(at: $0, of: energy) }.derivative)
    try world.check("hvp", gradient(at: x) { jvp(at: $0, along: v, of: energy).derivative })
    try world.check("hvp", gradient(at: x) { (v * gradient(at: $0, of: energy)).sum() })
  }

  @Test("derivatives along a batch of directions at once", arguments: cases)
  func batched(_ network: Network, _ type: ElementType) throws {
    let world = try World(network, type)
    let (x, directions) = try (world["input"], world["directions"])
    try world.check("vmap_jvp", vmap(over: directions) { jvp(at: x, along: $0, of: world.f).derivative })
  }

  @Test("the Jacobian of every sample, backward and forward", arguments: [ElementType.float32, .float64])
  func jacobian(_ type: ElementType) throws {
    let world = try World(.mlp, type)
    let x = try world["input"]
    let backward = vmap(over: x) { row in
      vmap(over: .identity(3, type: type), vjp(at: row, of: world.f).pullback)
    }
    try world.check("jacobian", backward)
    let forward = vmap(over: x) { row in
      vmap(over: .identity(5, type: type)) { jvp(at: row, along: $0, of: world.f).derivative }.transposed
    }
    try world.check("jacobian", forward)
  }
}
