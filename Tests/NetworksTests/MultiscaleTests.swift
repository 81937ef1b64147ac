import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// Waves and grids, and the network that sees them.
@Suite struct MultiscaleTests {
  static func grids(_ configuration: GridFeatures.Configuration, values: [Tensor]) -> GridFeatures {
    var generator = Generator(seed: 0)
    return GridFeatures(configuration, using: &generator).replacing(parameters: values)
  }

  // MARK: Waves

  @Test("waves are sines and cosines of their frequencies, faded by e^{−(|ω|k)²/8}")
  func waves() {
    let features = FourierFeatures(.init(count: 5, lowest: 0.5, highest: 4, seed: 3), dimension: 2)
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
      let features = FourierFeatures(.init(count: 2000, lowest: 0.1, highest: 10, seed: seed), dimension: dimension)
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

  // MARK: Grids

  @Test("values between nodes are bilinear, column first, and outside the square those of the border")
  func bilinear() {
    // Three nodes a side over [−2, 2]²: at −2, 0 and 2.
    let values = Tensor([1.0, 2, 3, 4, 5, 6, 7, 8, 9] + [0, 0, 0, 0, 1, 0, 0, 0, 0], shape: [1, 2, 3, 3])
    let grids = Self.grids(.init(resolutions: [3], extent: 2), values: [values])
    #expect(grids.count == 2)
    let places: [(x: Double, y: Double, first: Double, second: Double)] = [
      (-2, -2, 1, 0), (0, -2, 2, 0), (2, -2, 3, 0), (-2, 0, 4, 0), (0, 0, 5, 1), (2, 2, 9, 0),
      // Half a cell to the right, a quarter of one down.
      (1, -2, 2.5, 0), (-2, -1.5, 1.75, 0), (1, -1.5, 2.5 + 0.75, 0.125), (-0.5, 0.5, 5.5, 0.5625),
      // Outside.
      (-9, -2, 1, 0), (5, 5, 9, 0), (1, 7, 8.5, 0), (7, 1, 7.5, 0),
    ]
    let y = Tensor(rows: places.map { [$0.x, $0.y] })
    let found = grids(y, noise: .zeros([places.count, 1]))
    // Trained values are scaled up by ten.
    expectClose(found, 10 * Tensor(rows: places.map { [$0.first, $0.second] }), within: 1e-14)
  }

  @Test("libtorch's own sampler of grids gives the same values and gradients")
  func reference() {
    let configuration = GridFeatures.Configuration(resolutions: [4, 7], extent: 1.5)
    let values = [SplitMix(seed: 1).unit([1, 2, 4, 4]), SplitMix(seed: 2).unit([1, 2, 7, 7])]
    let (y, weights) = (SplitMix(seed: 3).unit([40, 2]), SplitMix(seed: 4).unit([40, 4]))
    func reference(_ values: [Tensor], _ y: Tensor) -> Tensor {
      let places = (y / 1.5).reshaped([1, 1, 40, 2])
      return .concatenated(
        values.map { 10 * $0.sampledBilinearly(at: places).reshaped([2, 40]).transposed }, 1)
    }
    func found(_ values: [Tensor], _ y: Tensor) -> Tensor {
      Self.grids(configuration, values: values)(y, noise: .zeros([40, 1]))
    }
    expectClose(found(values, y), reference(values, y), within: 1e-13)
    let (a, b) = (
      valueAndGradients(at: values + [y]) { (weights * found(Array($0[..<2]), $0[2])).sum() }.gradients,
      valueAndGradients(at: values + [y]) { (weights * reference(Array($0[..<2]), $0[2])).sum() }.gradients
    )
    for (x, y) in zip(a, b) { expectClose(x, y, within: 1e-12) }
  }

  @Test("a grid fades by e^{−(k/h)²/8}, where h is its spacing")
  func fading() {
    let grids = Self.grids(
      .init(resolutions: [3, 5], extent: 2), values: [.ones([1, 2, 3, 3]), .ones([1, 2, 5, 5])])
    let k = [0, 0.5, 1, 4.0]
    let found = grids(.zeros([4, 2]), noise: Tensor(k, shape: [4, 1]))
    // Spacings of 2 and 1.
    let expected = k.map { k in
      let (wide, narrow) = (10 * exp(-k * k / 32), 10 * exp(-k * k / 8))
      return [wide, wide, narrow, narrow]
    }
    expectClose(found, Tensor(rows: expected), within: 1e-14)
  }

  @Test("a new grid is small, and its values differ")
  func new() {
    var generator = Generator(seed: 0)
    let grids = GridFeatures(.init(resolutions: [8, 16], extent: 1), using: &generator)
    #expect(grids.namedParameters.map { "\($0.name) \($0.tensor.shape)" } == ["0 [1, 2, 8, 8]", "1 [1, 2, 16, 16]"])
    let found = grids(SplitMix(seed: 1).symmetric([200, 2]).to(.float32), noise: .zeros([200, 1], type: .float32))
    #expect(found.shape == [200, 4] && found.abs().max().item <= 0.01 && found.standardDeviation().item > 1e-3)
  }

  @Test("a place that is no number has no value, and spoils no other")
  func notANumber() {
    let grids = Self.grids(.init(resolutions: [3], extent: 2), values: [.ones([1, 2, 3, 3])])
    let found = grids(Tensor(rows: [[.nan, 0], [.infinity, 0], [0, 0]]), noise: .zeros([3, 1]))
    #expect(found[0].isNaN().all())
    expectClose(found[1...], .full([2, 2], 10), within: 1e-14)
  }

  // MARK: The network

  @Test("the network recovers the scale of the data from the noise")
  func scale() {
    // One layer that passes on the first wave's sine, to see what goes in.
    var generator = Generator(seed: 0)
    let configuration = MultiscaleMLP.Configuration(
      dimension: 2, width: 1, depth: 1, sigmaData: 0.7, waves: .init(count: 1, lowest: 2, highest: 2, seed: 5))
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
      dimension: 2, width: 5, depth: 2, sigmaData: 1, waves: .init(count: 3),
      grids: .init(resolutions: [4], extent: 2), conditionWidth: 1)
    let network = MultiscaleMLP(configuration, using: &generator)
    #expect(
      network.namedParameters.map { "\($0.name) \($0.tensor.shape)" } == [
        "grids.0 [1, 2, 4, 4]", "layers.0.weight [5, 18]", "layers.0.bias [5]", "layers.1.weight [5, 5]",
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
    "waves": .init(message: "needs waves, and 0 < lowest ≤ highest") {
      _ = FourierFeatures(.init(count: 3, lowest: 2, highest: 1), dimension: 2)
    },
    "nodes": .init(message: "a grid has at least 2 nodes a side, and an extent") {
      var generator = Generator(seed: 0)
      _ = GridFeatures(.init(resolutions: [1], extent: 1), using: &generator)
    },
    "plane": .init(message: "grids are for points of the plane") {
      var generator = Generator(seed: 0)
      _ = MultiscaleMLP(.init(dimension: 3, sigmaData: 1, grids: .init(extent: 1)), using: &generator)
    },
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
