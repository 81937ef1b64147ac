import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// Waves, and the network that sees them.
@Suite struct MultiscaleTests {
  // MARK: Waves

  @Test("waves are sines and cosines of their frequencies, faded by e^{−(|ω|k)²/8}")
  func waves() {
    let features = FourierFeatures(.init(count: 5, lowest: 0.5, highest: 4, fineCount: 0, seed: 3), dimension: 2)
    #expect(features.count == 10)
    // Frequencies from the slope of the sines at 0, where cosines are the fading.
    let (zero, none) = (Tensor.zeros([1, 2]), Tensor.zeros([1, 1]))
    let slopes = (0..<2).map { axis in
      jvp(at: zero, along: Tensor.identity(2)[axis..<(axis + 1)]) { features($0, noise: none) }.derivative[0, ..<5]
    }
    let sizes = (slopes[0].squared() + slopes[1].squared()).sqrt()
    #expect(sizes.min().item >= 0.5 && sizes.max().item <= 4 && sizes.standardDeviation().item > 0.1)
    let (y, k) = (SplitMix(seed: 1).unit([4, 2]), Tensor([[0.0], [0.3], [1], [5]].flatMap { $0 }, shape: [4, 1]))
    let phases = y[Axis.all, ..<1] * slopes[0] + y[Axis.all, 1...] * slopes[1]
    let fading = (-(sizes * k).squared() / 8).exp()
    expectClose(features(y, noise: k), .concatenated([fading * phases.sin(), fading * phases.cos()], 1), within: 1e-12)
  }

  @Test("the same seed makes the same waves, which point everywhere and fill their range evenly in the logarithm")
  func frequencies() {
    let none = Tensor.zeros([1, 1])
    func sizes(_ seed: UInt64, _ dimension: Int) -> Tensor {
      let features = FourierFeatures(
        .init(count: 2000, lowest: 0.1, highest: 10, fineCount: 0, seed: seed), dimension: dimension)
      let slopes = (0..<dimension).map { axis in
        jvp(at: .zeros([1, dimension]), along: Tensor.identity(dimension)[axis..<(axis + 1)]) {
          features($0, noise: none)
        }.derivative[0, ..<2000]
      }
      let stacked = Tensor.stacked(slopes)
      let directions = stacked / stacked.norm(0)
      #expect(directions.mean(1).abs().max().item < 4 / 2000.0.squareRoot())
      expectClose(
        directions.squared().mean(1), .full([dimension], 1 / Double(dimension)), within: 0.1)
      return stacked.norm(0)
    }
    let found = sizes(1, 2)
    #expect(found.isIdentical(to: sizes(1, 2)) && !found.isIdentical(to: sizes(2, 2)))
    _ = sizes(1, 3)
    // Logarithms uniform on [log 0.1, log 10].
    #expect(abs(found.log().mean().item) < 4 * log(100) / (12 * 2000.0).squareRoot())
    #expect(abs(found.log().standardDeviation().item / (log(100) / 12.0.squareRoot()) - 1) < 0.05)
  }

  @Test("fine waves fill a ball evenly: their |ω|ᵈ is uniform")
  func fineWaves() {
    for dimension in [1, 2, 3] {
      let features = FourierFeatures(
        .init(count: 1, lowest: 1, highest: 1, fineCount: 3000, finest: 5, seed: 2), dimension: dimension)
      let slopes = (0..<dimension).map { axis in
        jvp(at: .zeros([1, dimension]), along: Tensor.identity(dimension)[axis..<(axis + 1)]) {
          features($0, noise: .zeros([1, 1]))
        }.derivative[0, 1..<3001]
      }
      let shares = (Tensor.stacked(slopes).norm(0) / 5).pow(Double(dimension))
      #expect(shares.max().item <= 1)
      #expect(abs(shares.mean().item - 0.5) < 4 / (12 * 3000.0).squareRoot())
      #expect(abs(shares.standardDeviation().item * 12.0.squareRoot() - 1) < 0.05)
    }
  }

  // MARK: The network

  @Test("the network recovers the scale of the data from the noise")
  func scale() {
    // One layer that passes on the first wave's sine, to see what goes in.
    var generator = Generator(seed: 0)
    let configuration = MultiscaleMLP.Configuration(
      dimension: 2, width: 1, depth: 1, sigmaData: 0.7,
      waves: .init(count: 1, lowest: 2, highest: 2, fineCount: 0, seed: 5))
    let network = MultiscaleMLP(configuration, using: &generator)
    // x, seven features of the noise, and the wave.
    #expect(network.parameters[0].shape == [1, 2 + 7 + 2])
    let pick = Tensor((0..<11).map { $0 == 9 ? 1.0 : 0 }, shape: [1, 11])
    let probe = network.replacing(
      parameters: [pick, .zeros([1]), .ones([2, 1]), .zeros([2])])
    let (y, k) = (SplitMix(seed: 1).unit([5, 2]), SplitMix(seed: 2).uniform([5]) + 0.1)
    let x = y / (k.squared() + 0.49).sqrt().expanded(at: 1)
    let wave = FourierFeatures(configuration.waves, dimension: 2)(y, noise: k.expanded(at: 1))[Axis.all, ..<1]
    expectClose(probe(x, noise: k.log()), wave.silu().broadcast(to: [5, 2]), within: 1e-12)
  }

  @Test("its parameters read like its architecture, and its configuration survives JSON")
  func names() throws {
    var generator = Generator(seed: 0)
    let configuration = MultiscaleMLP.Configuration(
      dimension: 2, width: 5, depth: 2, sigmaData: 1, waves: .init(count: 3, fineCount: 1),
      conditionWidth: 1)
    let network = MultiscaleMLP(configuration, using: &generator)
    #expect(
      network.namedParameters.map { "\($0.name) \($0.tensor.shape)" } == [
        "layers.0.weight [5, 18]", "layers.0.bias [5]", "layers.1.weight [5, 5]",
        "layers.1.bias [5]", "last.weight [2, 5]", "last.bias [2]",
      ])
    let data = try JSONEncoder().encode(configuration)
    #expect(try JSONDecoder().decode(MultiscaleMLP.Configuration.self, from: data) == configuration)
  }

  struct Mistake: Sendable {
    let message: String
    let body: @Sendable () -> Void
  }

  static let mistakes: [String: Mistake] = [
    "waves": .init(message: "there are waves, 0 < lowest ≤ highest, and finest is above 0") {
      _ = FourierFeatures(.init(count: 3, lowest: 2, highest: 1), dimension: 2)
    }
  ]

  @Test("a mistake stops the process with the rule", arguments: mistakes.keys.sorted())
  func mistake(_ name: String) async throws {
    let expected = try #require(Self.mistakes[name])
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [name] in
      Self.mistakes[name]?.body()
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(words.contains(expected.message), "\(words.prefix(400))")
  }
}
