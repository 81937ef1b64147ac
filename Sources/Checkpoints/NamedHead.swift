import ScorefieldFields

/// What a network predicts, by name.
public enum NamedHead: String, Codable, Sendable, CaseIterable {
  case data, noise, score, v, velocity, edm

  /// The head; the data's standard deviation matters to `edm` alone.
  public func head(sigmaData: Double) -> Head {
    switch self {
    case .data: .data
    case .noise: .noise
    case .score: .score
    case .v: .v
    case .velocity: .velocity
    case .edm: .edm(sigmaData: sigmaData)
    }
  }
}
