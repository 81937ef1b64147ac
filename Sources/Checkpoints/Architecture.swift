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
