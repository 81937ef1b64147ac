import CScorefieldEngine

/// Where a tensor's elements live.
public struct Device: Hashable, Sendable, CustomStringConvertible {
  public enum Kind: String, Sendable, CaseIterable { case cpu, cuda }

  public let kind: Kind
  public let index: Int

  /// The host.
  public static let cpu = Device(kind: .cpu, index: 0)
  /// A graphics card.
  public static func cuda(_ index: Int = 0) -> Device { Device(kind: .cuda, index: index) }

  /// How many devices of a kind this machine and this engine have.
  public static func count(of kind: Kind) -> Int { Int(Engine.api.device_count(kind.rawValue)) }

  /// Waits until everything asked of the device is done; for measurements.
  public func synchronize() {
    guard Engine.api.synchronize(description) == CT_OK else {
      fatalError("synchronize(\(self)): \(Engine.failure)")
    }
  }

  /// libtorch's name, "cpu" or "cuda:0".
  public var description: String { kind == .cpu ? "cpu" : "\(kind.rawValue):\(index)" }

  init(name: String) {
    let parts = name.split(separator: ":")
    guard let kind = Kind(rawValue: String(parts[0])) else {
      fatalError("device '\(name)': Scorefield knows \(Kind.allCases.map(\.rawValue))")
    }
    self.init(kind: kind, index: parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
  }

  private init(kind: Kind, index: Int) { (self.kind, self.index) = (kind, index) }
}
