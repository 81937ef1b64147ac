import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct UNetTests {
  static func make(_ configuration: UNet.Configuration) -> UNet {
    var generator = Generator(seed: 0)
    return UNet(configuration, using: &generator)
  }

  @Test("the names of parameters read like the architecture")
  func names() {
    let network = Self.make(
      .init(channels: 1, width: 4, multipliers: [1, 2], blocks: 1, attention: [1], conditionWidth: 3))
    func block(_ path: String, skip: Bool) -> [String] {
      ["norm1", "convolution1", "embedding", "norm2", "convolution2"].flatMap(affine(path))
        + (skip ? affine(path)("skip") : [])
    }
    func affine(_ path: String) -> (String) -> [String] { { ["\(path).\($0).weight", "\(path).\($0).bias"] } }
    let attention = ["norm", "projections", "last"]
    let expected: [[String]] = [
      ["noise.hidden.weight", "noise.hidden.bias", "noise.last.weight", "noise.last.bias"],
      ["condition.weight"],
      ["first.weight", "first.bias"],
      block("encoder.0.blocks.0", skip: false),
      ["encoder.1.enter.weight", "encoder.1.enter.bias"],
      block("encoder.1.blocks.0", skip: false),
      attention.flatMap(affine("encoder.1.attention.0")),
      block("middle.blocks.0", skip: false), block("middle.blocks.1", skip: false),
      attention.flatMap(affine("middle.attention")),
      ["decoder.0.enter.weight", "decoder.0.enter.bias"],
      block("decoder.0.blocks.0", skip: true), block("decoder.0.blocks.1", skip: true),
      block("decoder.1.blocks.0", skip: true), block("decoder.1.blocks.1", skip: true),
      attention.flatMap(affine("decoder.1.attention.0")), attention.flatMap(affine("decoder.1.attention.1")),
      ["norm.weight", "norm.bias", "last.weight", "last.bias"],
    ]
    #expect(network.namedParameters.map(\.name) == expected.flatMap { $0 })
  }

  @Test("a small network's names, literally")
  func literally() {
    let network = Self.make(.init(channels: 1, width: 4, multipliers: [1], blocks: 1))
    let named = network.namedParameters
    #expect(
      named.prefix(26).map { "\($0.name) \($0.tensor.shape)" } == [
        "noise.hidden.weight [16, 33]", "noise.hidden.bias [16]", "noise.last.weight [16, 16]", "noise.last.bias [16]",
        "first.weight [4, 1, 3, 3]", "first.bias [4]",
        "encoder.0.blocks.0.norm1.weight [4]", "encoder.0.blocks.0.norm1.bias [4]",
        "encoder.0.blocks.0.convolution1.weight [4, 4, 3, 3]", "encoder.0.blocks.0.convolution1.bias [4]",
        "encoder.0.blocks.0.embedding.weight [8, 16]", "encoder.0.blocks.0.embedding.bias [8]",
        "encoder.0.blocks.0.norm2.weight [4]", "encoder.0.blocks.0.norm2.bias [4]",
        "encoder.0.blocks.0.convolution2.weight [4, 4, 3, 3]", "encoder.0.blocks.0.convolution2.bias [4]",
        "middle.blocks.0.norm1.weight [4]", "middle.blocks.0.norm1.bias [4]",
        "middle.blocks.0.convolution1.weight [4, 4, 3, 3]", "middle.blocks.0.convolution1.bias [4]",
        "middle.blocks.0.embedding.weight [8, 16]", "middle.blocks.0.embedding.bias [8]",
        "middle.blocks.0.norm2.weight [4]", "middle.blocks.0.norm2.bias [4]",
        "middle.blocks.0.convolution2.weight [4, 4, 3, 3]", "middle.blocks.0.convolution2.bias [4]",
      ])
    #expect(named.map(\.name).contains("decoder.0.blocks.1.skip.weight"))
  }

  @Test("a new network gives zeros, with and without a condition")
  func zeros() {
    let network = Self.make(.grey8(conditionWidth: 10))
    let x = SplitMix(seed: 1).unit([2, 8, 8]).to(.float32)
    let noise = Tensor([0.3, -0.7]).to(.float32)
    #expect((network(x, noise: noise) .== 0).all())
    #expect((network(x, noise: noise, condition: .ones([2, 10], type: .float32)) .== 0).all())
    #expect(network.features(x, noise: noise, condition: nil).abs().max().item > 0.1)
  }

  @Test("a new network's blocks hand on their input, and its weights keep to PyTorch's bounds")
  func initialisation() {
    let network = Self.make(
      .init(channels: 3, width: 16, multipliers: [1, 2], blocks: 1, attention: [1], heads: 2, conditionWidth: 10))
    for (name, tensor) in network.namedParameters {
      let largest = tensor.abs().max().item
      if name.hasSuffix("convolution2.weight") || (name.hasSuffix("last.weight") && name != "noise.last.weight") {
        #expect(largest == 0, "\(name)")
      } else if name.contains("norm") {
        #expect((tensor .== (name.hasSuffix("weight") ? 1 : 0)).all(), "\(name)")
      } else if tensor.rank > 1 {
        let bound = 1 / Double(tensor.shape.dropFirst().reduce(1, *)).squareRoot()
        #expect(
          largest <= bound * (1 + 1e-6) && largest > (tensor.count > 400 ? 0.97 : 0.9) * bound,
          "\(name): \(largest) of \(bound)")
      }
    }
    // A bias has the bound of its weights.
    let biases = Dictionary(uniqueKeysWithValues: network.namedParameters.map { ($0.name, $0.tensor) })
    for (name, inputs) in [("encoder.0.blocks.0.embedding", 64), ("encoder.1.blocks.0.convolution1", 288)] {
      let largest = biases["\(name).bias"]!.abs().max().item
      let bound = 1 / Double(inputs).squareRoot()
      #expect(largest <= bound * (1 + 1e-6) && largest > 0.75 * bound, "\(name).bias: \(largest) of \(bound)")
    }
  }

  @Test(
    "groups have at least four channels, and there are at most 32",
    arguments: [
      (1, 1), (3, 1), (4, 1), (7, 1), (8, 2), (10, 2), (12, 3), (36, 9), (64, 16), (128, 32), (160, 32), (192, 32),
      (384, 32),
    ])
  func groups(_ channels: Int, _ groups: Int) { #expect(GroupNorm(channels).groups == groups) }

  @Test(
    "presets have the sizes they say",
    arguments: [
      (UNet.Configuration.grey8(), 288_225, [1, 8, 8]), (.colour32(), 38_537_091, [1, 3, 32, 32]),
    ])
  func presets(_ configuration: UNet.Configuration, _ count: Int, _ shape: [Int]) {
    let network = Self.make(configuration)
    #expect(network.parameterCount == count)
    let noise = Tensor.zeros([1], type: .float32)
    let output = withoutGradient { network(.ones(shape, type: .float32), noise: noise) }
    #expect(output.shape == shape)
  }

  @Test("the preset for 64×64 has the size it says", .tags(.slow), .whenAllTestsRun)
  func largest() { #expect(Self.make(.colour64()).parameterCount == 93_025_283) }

  @Test(
    "a preset takes a condition",
    arguments: [UNet.Configuration.grey8, UNet.Configuration.colour32, UNet.Configuration.colour64])
  func conditions(_ preset: @Sendable (Int) -> UNet.Configuration) { #expect(preset(10).conditionWidth == 10) }

  @Test("heads and attention of presets")
  func heads() {
    #expect(UNet.Configuration.grey8().attention.isEmpty && UNet.Configuration.grey8().embeddingWidth == 64)
    #expect(UNet.Configuration.colour32().attention == [1] && UNet.Configuration.colour32().heads == 4)
    #expect(UNet.Configuration.colour64().attention == [2, 3] && UNet.Configuration.colour64().heads == 4)
  }

  @Test("a configuration survives JSON")
  func coding() throws {
    let configuration = UNet.Configuration.colour32(conditionWidth: 10)
    let data = try JSONEncoder().encode(configuration)
    #expect(try JSONDecoder().decode(UNet.Configuration.self, from: data) == configuration)
  }

  @Test("one channel may have an axis or not")
  func channelAxis() {
    let network = Self.make(.init(channels: 1, width: 4, multipliers: [1, 2], blocks: 1)).randomised(seed: 1)
    let (x, noise) = (SplitMix(seed: 2).unit([2, 4, 6]), Tensor([0.1, 0.5]))
    let (with, without) = (network(x.expanded(at: 1), noise: noise), network(x, noise: noise))
    #expect(with.shape == [2, 1, 4, 6] && without.shape == [2, 4, 6])
    #expect(with.squeezed(1).isIdentical(to: without))
  }

  @Test("attention and blocks stand where the configuration puts them")
  func places() {
    func names(_ configuration: UNet.Configuration) -> [String] { Self.make(configuration).namedParameters.map(\.name) }
    let plain = names(.init(channels: 1, width: 4, multipliers: [1, 2, 3], blocks: 2))
    #expect(!plain.contains { $0.contains("attention") || $0.contains("condition.") })
    #expect(plain.contains("encoder.2.blocks.1.norm1.weight") && !plain.contains("encoder.2.blocks.2.norm1.weight"))
    #expect(plain.contains("decoder.2.blocks.2.norm1.weight") && !plain.contains("decoder.2.blocks.3.norm1.weight"))
    let attending = names(.init(channels: 1, width: 4, multipliers: [1, 2, 3], blocks: 2, attention: [1]))
    let places = Set(
      attending.filter { $0.contains("attention") }.map { $0.split(separator: ".")[0...1].joined(separator: ".") })
    #expect(places == ["encoder.1", "middle.attention", "decoder.1"])
  }

  // MARK: What stops

  struct Mistake: Sendable {
    let message: String
    let body: @Sendable () -> Void
    init(_ message: String, _ body: @escaping @Sendable () -> Void) { (self.message, self.body) = (message, body) }
  }

  private static func ask(_ shape: [Int], noise: Int = 2, condition: [Int]? = nil) {
    let network = make(.init(channels: 1, width: 4, multipliers: [1, 1, 1], blocks: 1))
    _ = network(
      .zeros(shape, type: .float32), noise: .zeros([noise], type: .float32),
      condition: condition.map { .zeros($0, type: .float32) })
  }

  static let mistakes: [String: Mistake] = [
    "sides": Mistake(
      "UNet([2, 1, 8, 6], [2]): the network has 3 levels, so the sides of an image must divide by 4"
    ) {
      ask([2, 1, 8, 6])
    },
    "channels": Mistake("UNet([2, 3, 8, 8], [2]): the network is made for 1 channels, got 3") { ask([2, 3, 8, 8]) },
    "rank": Mistake("UNet([2, 8], [2]): images are [B, C, H, W] or [B, H, W]") { ask([2, 8]) },
    "noise": Mistake("UNet([2, 8, 8], [3]): noise is one number per image, [2]") { ask([2, 8, 8], noise: 3) },
    "condition": Mistake("UNet([2, 8, 8], [2], [2, 5]): the network is made for conditions [2, 0]") {
      ask([2, 8, 8], condition: [2, 5])
    },
    "heads": Mistake("embeddingWidth: 24)): the heads do not divide the channels") {
      _ = make(.init(channels: 1, width: 6, multipliers: [1], blocks: 1, attention: [0], heads: 4))
    },
    "level": Mistake("levels with attention are 0 to 0") {
      _ = make(.init(channels: 1, width: 4, multipliers: [1], blocks: 1, attention: [1]))
    },
    "multipliers": Mistake("there is a level, and multipliers are at least 1") {
      _ = make(.init(channels: 1, width: 4, multipliers: [], blocks: 1))
    },
    "blocks": Mistake("channels, widths and blocks are at least 1") {
      _ = make(.init(channels: 1, width: 4, multipliers: [1], blocks: 0))
    },
    "condition width": Mistake("a condition has a length of 0 or more") {
      _ = make(.init(channels: 1, width: 4, multipliers: [1], blocks: 1, conditionWidth: -1))
    },
    "kernel": Mistake("Convolution(1, 1, size: 2, stride: 1): the size is odd, all are positive") {
      var generator = Generator(seed: 0)
      _ = Convolution(1, 1, size: 2, using: &generator)
    },
    "no channels": Mistake("GroupNorm(0): there are no channels") { _ = GroupNorm(0) },
  ]

  @Test("a mistake stops the process with the shapes and the rule", arguments: mistakes.keys.sorted())
  func mistake(_ name: String) async throws {
    let expected = try #require(Self.mistakes[name])
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [name] in
      Self.mistakes[name]?.body()
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(words.contains("Fatal error: ") && words.contains(expected.message), "\(words.prefix(400))")
  }
}
