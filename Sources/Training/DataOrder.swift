/// The order in which a training sees its data: shuffled anew in each epoch, each sample once an epoch.
///
/// Batches are all of the size asked for and run on from one epoch into the next, as with an endless sampler in PyTorch; a
/// `DataLoader` over a finite one would end each epoch with a smaller batch, or leave samples out.
///
/// The order depends on the seed, the epoch and the count, and on nothing else: it is the same on any machine, and a value
/// that was encoded and decoded goes on exactly where it was.
///
/// - Cost: `O(count)` at the beginning of each epoch, four bytes a sample.
///
/// Source: Durstenfeld 1964, doi:10.1145/364520.364540, for the shuffle; Steele, Lea & Flood 2014,
/// doi:10.1145/2714064.2660195, for its random numbers.
public struct DataOrder: Codable, Sendable, Equatable {
  /// How many samples there are.
  public let count: Int
  public let seed: UInt64
  /// How many times all samples were seen.
  public private(set) var epoch = 0
  /// How many were seen in this epoch.
  public private(set) var position = 0
  private var order: [UInt32]

  /// The order from the beginning.
  public init(count: Int, seed: UInt64) {
    guard count > 0, count <= 1 << 32 else { fatalError("DataOrder(count: \(count)): needs 1 to 2³² samples") }
    (self.count, self.seed) = (count, seed)
    order = Self.shuffled(count, seed: seed, epoch: 0)
  }

  /// The next positions, each from 0 to less than ``count``.
  public mutating func next(_ size: Int) -> [Int] {
    var positions: [Int] = []
    positions.reserveCapacity(size)
    while positions.count < size {
      if position == count {
        (epoch, position) = (epoch + 1, 0)
        order = Self.shuffled(count, seed: seed, epoch: epoch)
      }
      let taken = order[position..<min(count, position + size - positions.count)]
      positions += taken.lazy.map(Int.init)
      position += taken.count
    }
    return positions
  }

  private enum CodingKeys: CodingKey { case count, seed, epoch, position }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    (count, seed) = (try container.decode(Int.self, forKey: .count), try container.decode(UInt64.self, forKey: .seed))
    epoch = try container.decode(Int.self, forKey: .epoch)
    position = try container.decode(Int.self, forKey: .position)
    guard count > 0, count <= 1 << 32, epoch >= 0, (0...count).contains(position) else {
      throw DecodingError.dataCorruptedError(
        forKey: .position, in: container, debugDescription: "position \(position) of \(count) in epoch \(epoch)")
    }
    order = Self.shuffled(count, seed: seed, epoch: epoch)
  }

  private static func shuffled(_ count: Int, seed: UInt64, epoch: Int) -> [UInt32] {
    // One stream an epoch: its start is the seed's own stream, `epoch` numbers on.
    var start = SplitMix64(state: seed &+ UInt64(epoch) &* SplitMix64.increment)
    var random = SplitMix64(state: start.next())
    // Not the library's shuffle, which may change with the language.
    var order = (0..<count).map { UInt32($0) }
    order.withUnsafeMutableBufferPointer { order in
      for last in stride(from: count - 1, to: 0, by: -1) {
        order.swapAt(last, Int(random.next(below: UInt64(last + 1))))
      }
    }
    return order
  }
}

/// A small source of random numbers whose every bit is specified.
private struct SplitMix64 {
  static let increment: UInt64 = 0x9E37_79B9_7F4A_7C15
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= Self.increment
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Uniform among the numbers below a bound, each as likely as another to within `bound / 2⁶⁴`.
  mutating func next(below bound: UInt64) -> UInt64 { next().multipliedFullWidth(by: bound).high }
}
