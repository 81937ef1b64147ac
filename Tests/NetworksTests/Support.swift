import Scorefield
import ScorefieldTestSupport

extension Module {
  /// The same module with `float64` parameters that are all different from zero, of about the size they have when trained.
  func randomised(seed: Int) -> Self {
    replacing(
      parameters: namedParameters.enumerated().map { index, parameter in
        let shape = parameter.tensor.shape
        let values = SplitMix(seed: seed + index).unit(shape)
        if shape.count > 1 { return values / Double(shape.dropFirst().reduce(1, *)).squareRoot() }
        return (parameter.name.contains("norm") && parameter.name.hasSuffix("weight") ? 1.0 : 0.0) + values / 4
      })
  }
}

/// A network with the points it is asked about; laws run over the list of them.
struct Specimen: Sendable, CustomStringConvertible {
  let description: String
  /// A new network, `float32`.
  let make: @Sendable (_ seed: UInt64) -> any Network
  let shape: [Int]
  let conditionWidth: Int

  private init(_ name: String, _ configuration: MLP.Configuration, _ shape: [Int]) {
    description = name
    make = { seed in
      var generator = Generator(seed: seed)
      return MLP(configuration, using: &generator)
    }
    (self.shape, conditionWidth) = (shape, configuration.conditionWidth)
  }

  private init(_ name: String, _ configuration: UNet.Configuration, _ shape: [Int]) {
    description = name
    make = { seed in
      var generator = Generator(seed: seed)
      return UNet(configuration, using: &generator)
    }
    (self.shape, conditionWidth) = (shape, configuration.conditionWidth)
  }

  private init(_ name: String, _ configuration: MultiscaleMLP.Configuration, _ shape: [Int]) {
    description = name
    make = { seed in
      var generator = Generator(seed: seed)
      return MultiscaleMLP(configuration, using: &generator)
    }
    (self.shape, conditionWidth) = (shape, configuration.conditionWidth)
  }

  static let all: [Specimen] = [
    .init("MLP", MLP.Configuration(dimension: 3, width: 8, depth: 2), [3, 3]),
    .init("conditional MLP", MLP.Configuration(dimension: 6, width: 8, depth: 1, conditionWidth: 2), [3, 2, 3]),
    .init(
      "multiscale MLP",
      MultiscaleMLP.Configuration(
        dimension: 3, width: 8, depth: 2, sigmaData: 0.7, waves: .init(count: 6, lowest: 0.3, highest: 3, fineCount: 0)),
      [3, 3]),
    .init(
      "conditional multiscale MLP",
      MultiscaleMLP.Configuration(
        dimension: 2, width: 8, depth: 1, sigmaData: 0.7,
        waves: .init(count: 4, lowest: 0.3, highest: 3, fineCount: 3, finest: 4), conditionWidth: 2), [4, 2]),
    .init("U-Net of one level", UNet.Configuration(channels: 2, width: 4, multipliers: [1], blocks: 1), [3, 2, 3, 5]),
    .init(
      "conditional U-Net",
      UNet.Configuration(channels: 1, width: 4, multipliers: [1, 2], blocks: 1, conditionWidth: 3),
      [3, 4, 2]),
    .init(
      "U-Net with attention",
      UNet.Configuration(
        channels: 3, width: 4, multipliers: [1, 1, 2], blocks: 2, attention: [1, 2], heads: 2, conditionWidth: 2),
      [2, 3, 8, 4]),
  ]

  /// A network none of whose parameters is zero.
  func network(_ type: ElementType = .float64) -> any Network {
    make(0).randomised(seed: 1).mapParameters { $0.to(type) }
  }

  var x: Tensor { SplitMix(seed: 501).unit(shape) }
  var v: Tensor { SplitMix(seed: 502).unit(shape) }
  var noise: Tensor { SplitMix(seed: 503).symmetric([shape[0]]) }
  var condition: Tensor? { conditionWidth > 0 ? SplitMix(seed: 504).unit([shape[0], conditionWidth]) : nil }
}
