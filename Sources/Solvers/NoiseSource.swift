import ScorefieldTensorCore

/// Where the noise of a stochastic method comes from: a value, so that the same one gives the same samples.
public enum NoiseSource: Sendable {
  /// Independent draws from N(0, 1); the same seed gives the same bits.
  case seed(UInt64)
  /// Arrays made elsewhere, of the shape of the state or one that broadcasts to it, in the order in which they are asked for.
  case given([Tensor])
}

/// The noise of one run, drawn as it is asked for.
///
/// Streams of different numbers from one seed are independent.
public struct NoiseStream: Sendable {
  private let source: NoiseSource
  private let number: UInt64
  private var generator: Generator?
  /// How many draws there were.
  public private(set) var count = 0

  public init(_ source: NoiseSource, number: Int = 0) { (self.source, self.number) = (source, UInt64(number)) }

  /// The next noise, of a tensor's shape, type and device.
  public mutating func draw(like x: Tensor) -> Tensor {
    count += 1
    switch source {
    case .seed(let seed):
      // Not before the device is known. The odd number is 2⁶⁴ over the golden ratio: it keeps the streams' seeds apart.
      var generator = self.generator ?? Generator(seed: seed &+ number &* 0x9E37_79B9_7F4A_7C15, on: x.device)
      // The stream's own copy is put away meanwhile: a shared state would be copied at every draw.
      self.generator = nil
      let noise = Tensor.normal(x.shape, type: x.elementType, on: x.device, using: &generator)
      self.generator = generator
      return noise
    case .given(let arrays):
      guard count <= arrays.count else {
        fatalError("draw(like: \(x.shape)): \(arrays.count) arrays of noise were given, and more are asked for")
      }
      return arrays[count - 1].to(x.elementType).to(x.device)
    }
  }
}
