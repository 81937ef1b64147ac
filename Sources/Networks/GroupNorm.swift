import ScorefieldTensorCore

/// Each group of channels with mean 0 and variance 1 in every image, then scaled and shifted per channel.
///
/// A group has at least four channels where there are as many, and there are at most 32 groups.
///
/// Source: Wu & He 2018, arXiv:1803.08494, eq. 1; the number of groups as in Karras et al. 2022, arXiv:2206.00364.
public struct GroupNorm: Module {
  /// Shape `[channels]`.
  public var weight, bias: Tensor
  /// The number of groups.
  public let groups: Int

  /// A norm that neither scales nor shifts until it is trained.
  public init(_ channels: Int) {
    guard channels > 0 else { fatalError("GroupNorm(\(channels)): there are no channels") }
    weight = .ones([channels], type: .float32)
    bias = .zeros([channels], type: .float32)
    groups = (1...max(1, min(32, channels / 4))).last { channels % $0 == 0 }!
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) {
    visitor(&weight, "weight")
    visitor(&bias, "bias")
  }

  /// - Parameter x: Shape `[B, channels, H, W]`.
  /// - Returns: In the shape of `x`.
  public func callAsFunction(_ x: Tensor) -> Tensor { x.groupNormalized(groups: groups, weight: weight, bias: bias) }
}
