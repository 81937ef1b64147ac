extension UNet {
  /// What a U-Net is made by.
  public struct Configuration: Codable, Sendable, Equatable {
    /// Channels of an image.
    public var channels: Int
    /// Channels inside, at the size of the image, times the first multiplier.
    public var width: Int
    /// Channels at each level, as multiples of the width; the sides of an image halve from level to level.
    public var multipliers: [Int]
    /// Residual blocks of each level on the way down; there is one more on the way up.
    public var blocks: Int
    /// The levels whose blocks are followed by attention, from 0; where there are any, the middle has it too.
    public var attention: [Int]
    /// Heads of each attention; they divide the channels.
    public var heads: Int
    /// The length of a condition; 0 for none.
    public var conditionWidth: Int
    /// The length of the vector that tells every block the noise and the condition.
    public var embeddingWidth: Int

    /// - Parameters:
    ///   - channels: Channels of an image.
    ///   - width: Channels inside.
    ///   - multipliers: Channels at each level, as multiples of the width.
    ///   - blocks: Residual blocks of each level.
    ///   - attention: The levels with attention, from 0.
    ///   - heads: Heads of each attention.
    ///   - conditionWidth: The length of a condition; 0 for none.
    ///   - embeddingWidth: The length of the vector that steers the blocks; four times the width where not said.
    public init(
      channels: Int, width: Int, multipliers: [Int], blocks: Int, attention: [Int] = [], heads: Int = 1,
      conditionWidth: Int = 0, embeddingWidth: Int? = nil
    ) {
      (self.channels, self.width, self.multipliers, self.blocks) = (channels, width, multipliers, blocks)
      (self.attention, self.heads, self.conditionWidth) = (attention, heads, conditionWidth)
      self.embeddingWidth = embeddingWidth ?? 4 * width
    }

    /// For 8×8 images of one channel: 0.29 million parameters, trained on a CPU in minutes.
    public static func grey8(conditionWidth: Int = 0) -> Self {
      Self(channels: 1, width: 16, multipliers: [1, 2, 2], blocks: 1, conditionWidth: conditionWidth)
    }

    /// For 32×32 images of three channels: 39 million parameters, of the shape that Ho, Jain & Abbeel 2020 trained on CIFAR-10.
    public static func colour32(conditionWidth: Int = 0) -> Self {
      Self(
        channels: 3, width: 128, multipliers: [1, 2, 2, 2], blocks: 2, attention: [1], heads: 4,
        conditionWidth: conditionWidth)
    }

    /// For 64×64 images of three channels: 93 million parameters.
    public static func colour64(conditionWidth: Int = 0) -> Self {
      Self(
        channels: 3, width: 128, multipliers: [1, 2, 3, 4], blocks: 2, attention: [2, 3], heads: 4,
        conditionWidth: conditionWidth)
    }

    /// Channels at each level.
    var widths: [Int] { multipliers.map { width * $0 } }

    /// Why no network can be made of it; nil where one can.
    public var problem: String? {
      guard channels > 0, width > 0, blocks > 0, embeddingWidth > 0 else {
        return "channels, widths and blocks are at least 1"
      }
      guard !multipliers.isEmpty, multipliers.count <= 16, multipliers.allSatisfy({ $0 > 0 }) else {
        return "there is a level, and multipliers are at least 1"
      }
      guard attention.allSatisfy(multipliers.indices.contains) else {
        return "levels with attention are 0 to \(multipliers.count - 1)"
      }
      guard conditionWidth >= 0 else { return "a condition has a length of 0 or more" }
      let seen = attention.isEmpty ? [] : attention + [multipliers.count - 1]
      guard heads > 0, seen.allSatisfy({ width * multipliers[$0] % heads == 0 }) else {
        return "the heads do not divide the channels"
      }
      return nil
    }

    /// Stops where no network can be made.
    func check() {
      if let problem { fatalError("UNet(\(self)): \(problem)") }
    }
  }
}
