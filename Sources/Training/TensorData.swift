import ScorefieldArrays
import ScorefieldTensorCore

/// Samples in memory, along the first axis of a tensor, as a model sees them.
public struct TensorData: DataSource {
  private let samples: Tensor
  public let count: Int
  public let sampleShape: [Int]

  /// Samples that are real numbers; they are taken as they are.
  public init(_ samples: Tensor) {
    guard samples.rank > 0, samples.count > 0, samples.elementType.isFloatingPoint else {
      fatalError("TensorData(\(samples.elementType.rawValue) \(samples.shape)): needs real numbers [B, …]")
    }
    self.samples = samples.to(.float32)
    (count, sampleShape) = (samples.batch, Array(samples.shape.dropFirst()))
  }

  public func batch(_ positions: [Int]) -> Tensor {
    samples.selecting(Tensor(positions).to(samples.device))
  }
}
