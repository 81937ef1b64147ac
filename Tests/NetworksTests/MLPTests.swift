import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct MLPTests {
  static func make(_ configuration: MLP.Configuration) -> MLP {
    var generator = Generator(seed: 0)
    return MLP(configuration, using: &generator)
  }

  @Test("parameters are named by layer, and have the shapes the configuration says")
  func names() {
    let network = Self.make(.init(dimension: 2, width: 5, depth: 2, conditionWidth: 3))
    #expect(
      network.namedParameters.map { "\($0.name) \($0.tensor.shape)" } == [
        "layers.0.weight [5, 14]", "layers.0.bias [5]", "layers.1.weight [5, 5]", "layers.1.bias [5]",
        "last.weight [2, 5]", "last.bias [2]",
      ])
    #expect(MLP.Configuration(dimension: 2) == MLP.Configuration(dimension: 2, width: 128, depth: 4, conditionWidth: 0))
  }

  @Test("a number becomes itself, sines and cosines of frequencies in geometric progression")
  func features() {
    let features = SinusoidalFeatures(3, from: 0.5, to: 8)
    #expect(features.count == 7)
    let c = [0.3, -1.2]
    let expected = c.map { c in [c, sin(0.5 * c), sin(2 * c), sin(8 * c), cos(0.5 * c), cos(2 * c), cos(8 * c)] }
    expectClose(features(Tensor(c)), Tensor(rows: expected), within: 1e-14)
    expectClose(
      SinusoidalFeatures(1, from: 2, to: 2)(Tensor([0.5])), Tensor(rows: [[0.5, sin(1.0), cos(1.0)]]), within: 1e-15)
  }

  @Test("features of a narrow type are computed in single precision")
  func narrow() {
    let features = SinusoidalFeatures(2, from: 1, to: 30)
    let found = features(Tensor([0.5]).to(.bfloat16))
    #expect(found.elementType == .float32)
    expectClose(found, features(Tensor([0.5])), within: 1e-6)
  }

  @Test("a new scalar head gives zeros, and reads the mean of a map")
  func head() {
    var generator = Generator(seed: 0)
    let head = ScalarHead(featureWidth: 3, width: 5, using: &generator)
    #expect(
      head.namedParameters.map { "\($0.name) \($0.tensor.shape)" } == [
        "hidden.weight [5, 3]", "hidden.bias [5]", "last.weight [1, 5]", "last.bias [1]",
      ])
    let map = SplitMix(seed: 1).unit([2, 3, 4, 5])
    #expect((head(map.to(.float32)) .== 0).all())
    let other = head.randomised(seed: 2)
    expectClose(other(map), other(map.mean(2, 3)), within: 1e-14)
    #expect(other(map).shape == [2])
  }

  @Test("replacing parameters wants as many as there are", arguments: [5, 7])
  func count(_ given: Int) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [given] in
      let network = MLPTests.make(.init(dimension: 2, width: 5, depth: 2))
      _ = network.replacing(parameters: Array(repeating: .zeros([1]), count: given))
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    let message =
      given == 5 ? "replacing(parameters: 5): the module has more" : "replacing(parameters: 7): the module has 6"
    #expect(words.contains(message), "\(words.prefix(400))")
  }
}
