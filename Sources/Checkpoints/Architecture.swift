import ScorefieldNetworks
import ScorefieldTensorCore

/// What a network is built by, as a file holds it.
public enum Architecture: Codable, Sendable, Equatable {
  case mlp(MLP.Configuration)

  /// The network with random parameters.
  public func network(using generator: inout Generator) -> any Network {
    switch self {
    case .mlp(let configuration): MLP(configuration, using: &generator)
    }
  }
}
