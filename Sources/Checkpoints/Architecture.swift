import ScorefieldNetworks
import ScorefieldTensorCore

/// What a network is built by, as a file holds it.
///
/// In a file it is an object with one key, the kind of network.
public enum Architecture: Codable, Sendable, Equatable {
  case mlp(MLP.Configuration)
  case multiscale(MultiscaleMLP.Configuration)
  case unet(UNet.Configuration)

  /// The network with random parameters.
  public func network(using generator: inout Generator) -> any Network {
    switch self {
    case .mlp(let configuration): MLP(configuration, using: &generator)
    case .multiscale(let configuration): MultiscaleMLP(configuration, using: &generator)
    case .unet(let configuration): UNet(configuration, using: &generator)
    }
  }

  /// The kind of network, as a file names it.
  public var kind: String {
    switch self {
    case .mlp: Kind.mlp.rawValue
    case .multiscale: Kind.multiscale.rawValue
    case .unet: Kind.unet.rawValue
    }
  }

  /// Units of a hidden layer, or channels at the size of an image.
  public var width: Int {
    switch self {
    case .mlp(let configuration): configuration.width
    case .multiscale(let configuration): configuration.width
    case .unet(let configuration): configuration.width
    }
  }

  /// Hidden layers, or residual blocks of a level.
  public var depth: Int {
    switch self {
    case .mlp(let configuration): configuration.depth
    case .multiscale(let configuration): configuration.depth
    case .unet(let configuration): configuration.blocks
    }
  }

  /// The length of a condition; 0 for none.
  public var conditionWidth: Int {
    switch self {
    case .mlp(let configuration): configuration.conditionWidth
    case .multiscale(let configuration): configuration.conditionWidth
    case .unet(let configuration): configuration.conditionWidth
    }
  }

  /// Why no network for samples of a shape can be made; nil where one can.
  func problem(for sampleShape: [Int]) -> String? {
    let dimension = sampleShape.reduce(1, *)
    func points(_ own: Int, _ problem: String?) -> String? {
      problem ?? (own == dimension ? nil : "it is for points of \(own) numbers, and a sample has \(dimension)")
    }
    // A larger one would not fit into memory before it is compared with the weights.
    guard max(width, depth, conditionWidth) <= 1 << 16 else { return "widths and depths are at most \(1 << 16)" }
    switch self {
    case .mlp(let configuration): return points(configuration.dimension, configuration.problem)
    case .multiscale(let configuration): return points(configuration.dimension, configuration.problem)
    case .unet(let configuration):
      if let problem = configuration.problem { return problem }
      let factor = 1 << (configuration.multipliers.count - 1)
      guard
        sampleShape.count == 3 && sampleShape[0] == configuration.channels
          || sampleShape.count == 2 && configuration.channels == 1,
        sampleShape.suffix(2).allSatisfy({ $0 % factor == 0 })
      else { return "it is for \(configuration.channels) channels of sides that \(factor) divides, not \(sampleShape)" }
      return nil
    }
  }

  private enum Kind: String, CodingKey { case mlp, multiscale, unet }

  public init(from decoder: any Decoder) throws {
    let kinds = try decoder.container(keyedBy: Kind.self)
    switch kinds.allKeys.first {
    case .mlp: self = .mlp(try kinds.decode(MLP.Configuration.self, forKey: .mlp))
    case .multiscale: self = .multiscale(try kinds.decode(MultiscaleMLP.Configuration.self, forKey: .multiscale))
    case .unet: self = .unet(try kinds.decode(UNet.Configuration.self, forKey: .unet))
    case nil:
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "a network is one of mlp, multiscale, unet"))
    }
  }

  public func encode(to encoder: any Encoder) throws {
    var kinds = encoder.container(keyedBy: Kind.self)
    switch self {
    case .mlp(let configuration): try kinds.encode(configuration, forKey: .mlp)
    case .multiscale(let configuration): try kinds.encode(configuration, forKey: .multiscale)
    case .unet(let configuration): try kinds.encode(configuration, forKey: .unet)
    }
  }
}
