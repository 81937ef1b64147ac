import Scorefield
import ScorefieldTestSupport
import Testing

/// What holds for every network.
@Suite struct NetworkLaws {
  @Test("the output has the shape of the points, and features have their width", arguments: Specimen.all)
  func shapes(_ specimen: Specimen) {
    let (network, x) = (specimen.network(), specimen.x)
    let features = network.features(x, noise: specimen.noise, condition: nil)
    #expect(features.shape.prefix(2) == [x.batch, network.featureWidth])
    #expect(features.rank == 2 || features.shape.suffix(2) == x.shape.suffix(2))
    #expect(network.output(of: features, like: x).shape == x.shape)
    #expect(network(x, noise: specimen.noise).shape == x.shape)
  }

  @Test("parameters have names of their own, and go out and in", arguments: Specimen.all)
  func parameters(_ specimen: Specimen) {
    func check(_ network: some Network) {
      let named = network.namedParameters
      #expect(Set(named.map(\.name)).count == named.count)
      #expect(network.parameterCount == named.reduce(0) { $0 + $1.tensor.count })
      for (parameter, other) in zip(network.parameters, named) { #expect(parameter.isIdentical(to: other.tensor)) }
      let changed = named.enumerated().map { Tensor.full($1.tensor.shape, Double($0)) }
      let other = network.replacing(parameters: changed)
      #expect(other.namedParameters.map(\.name) == named.map(\.name))
      for (parameter, expected) in zip(other.parameters, changed) { #expect(parameter.isIdentical(to: expected)) }
      let back = other.replacing(parameters: network.parameters)
      #expect(
        back(specimen.x, noise: specimen.noise).isIdentical(to: network(specimen.x, noise: specimen.noise)))
    }
    check(specimen.network())
  }

  @Test("every parameter matters", arguments: Specimen.all)
  func use(_ specimen: Specimen) {
    func check(_ network: some Network) {
      let gradients = valueAndGradients(at: network.parameters) { parameters in
        network.replacing(parameters: parameters)(specimen.x, noise: specimen.noise, condition: specimen.condition)
          .reshaped(-1).dot(specimen.v.reshaped(-1))
      }.gradients
      for (parameter, gradient) in zip(network.namedParameters, gradients) {
        #expect(gradient.abs().max().item > 1e-6, "\(parameter.name)")
      }
    }
    check(specimen.network())
  }

  @Test("a row's output does not depend on the other rows", arguments: Specimen.all)
  func independence(_ specimen: Specimen) {
    let (network, x, noise, condition) = (specimen.network(), specimen.x, specimen.noise, specimen.condition)
    let together = network(x, noise: noise, condition: condition)
    for row in 0..<x.batch {
      let alone = network(x[row..<row + 1], noise: noise[row..<row + 1], condition: condition?[row..<row + 1])
      expectClose(alone, together[row..<row + 1], within: 1e-12)
    }
  }

  @Test("the point, its noise and its condition change the output", arguments: Specimen.all)
  func arguments(_ specimen: Specimen) {
    let (network, x, noise) = (specimen.network(), specimen.x, specimen.noise)
    let output = network(x, noise: noise)
    #expect(relativeError(network(x + 0.1, noise: noise), output) > 1e-3)
    #expect(relativeError(network(x, noise: noise + 0.1), output) > 1e-3)
    guard let condition = specimen.condition else { return }
    #expect(relativeError(network(x, noise: noise, condition: condition), output) > 1e-3)
  }

  @Test("no condition is a condition of zeros", arguments: Specimen.all.filter { $0.conditionWidth > 0 })
  func unconditional(_ specimen: Specimen) {
    let (network, x, noise) = (specimen.network(), specimen.x, specimen.noise)
    let zeros = Tensor.zeros([x.batch, specimen.conditionWidth])
    #expect(network(x, noise: noise, condition: zeros).isIdentical(to: network(x, noise: noise)))
  }

  @Test("forward derivatives are differences, and backward ones agree with them", arguments: Specimen.all)
  func derivatives(_ specimen: Specimen) {
    let (network, x, v) = (specimen.network(), specimen.x, specimen.v)
    func f(_ x: Tensor) -> Tensor { network(x, noise: specimen.noise, condition: specimen.condition) }
    let forward = jvp(at: x, along: v, of: f)
    expectClose(forward.value, f(x), within: 1e-13)
    let h = 1e-5
    expectClose(forward.derivative, (f(x + h * v) - f(x - h * v)) / (2 * h), within: 1e-7)

    let u = SplitMix(seed: 505).unit(specimen.shape)
    let backward = vjp(at: x, of: f).pullback(u)
    let (a, b) = ((u * forward.derivative).sum(), (backward * v).sum())
    expectClose(a, b, within: 1e-11)
  }

  @Test("second derivatives are differences of first ones, in every order of modes", arguments: Specimen.all)
  func secondDerivatives(_ specimen: Specimen) {
    let (network, x, v) = (specimen.network(), specimen.x, specimen.v)
    func energy(_ x: Tensor) -> Tensor {
      network(x, noise: specimen.noise, condition: specimen.condition).squared().sum()
    }
    let h = 1e-5
    let difference = (gradient(at: x + h * v, of: energy) - gradient(at: x - h * v, of: energy)) / (2 * h)
    let product = jvp(at: x, along: v) { gradient(at: $0, of: energy) }.derivative
    expectClose(product, difference, within: 1e-6)
    expectClose(gradient(at: x) { jvp(at: $0, along: v, of: energy).derivative }, product, within: 1e-10)
    expectClose(gradient(at: x) { (v * gradient(at: $0, of: energy)).sum() }, product, within: 1e-10)
  }

  @Test("the gradient of a forward derivative reaches the parameters", arguments: Specimen.all)
  func traceMatching(_ specimen: Specimen) {
    func check(_ network: some Network) {
      func divergence(_ parameters: [Tensor]) -> Tensor {
        let network = network.replacing(parameters: parameters)
        return
          (specimen.v
          * jvp(at: specimen.x, along: specimen.v) { network($0, noise: specimen.noise) }.derivative).sum()
      }
      let directions = network.parameters.enumerated().map { SplitMix(seed: 600 + $0).symmetric($1.shape) }
      let gradients = valueAndGradients(at: network.parameters, of: divergence).gradients
      let slope = zip(gradients, directions).reduce(0) { $0 + ($1.0 * $1.1).sum().item }
      let h = 1e-5
      func moved(_ step: Double) -> Double {
        divergence(zip(network.parameters, directions).map { $0 + step * $1 }).item
      }
      #expect(abs(slope - (moved(h) - moved(-h)) / (2 * h)) < 1e-6 * max(1, abs(slope)))
    }
    check(specimen.network())
  }

  @Test("the same seed gives the same network, another one another", arguments: Specimen.all)
  func seeds(_ specimen: Specimen) {
    let (a, b, c) = (specimen.make(3).parameters, specimen.make(3).parameters, specimen.make(4).parameters)
    #expect(zip(a, b).allSatisfy { $0.isIdentical(to: $1) })
    #expect(!zip(a, c).allSatisfy { $0.isIdentical(to: $1) })
    #expect(a.allSatisfy { $0.elementType == .float32 })
  }

  @Test("the output has the type of parameters and points", arguments: Specimen.all)
  func types(_ specimen: Specimen) {
    let reference = specimen.network()
    let exact = reference(specimen.x, noise: specimen.noise, condition: specimen.condition)
    for (type, tolerance) in [(ElementType.float32, 1e-5), (.bfloat16, 0.1)] {
      let network = specimen.network(type)
      #expect(network.elementType == type)
      // The noise may be told more finely.
      for noise in [specimen.noise, specimen.noise.to(.float32), specimen.noise.to(type)] {
        let found = network(specimen.x.to(type), noise: noise, condition: specimen.condition?.to(type))
        #expect(found.elementType == type)
        expectClose(found, exact, within: tolerance)
      }
    }
  }
}
