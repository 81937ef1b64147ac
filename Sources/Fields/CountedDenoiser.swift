import ScorefieldPaths
import ScorefieldTensorCore
import Synchronization

/// A denoiser that counts how often it is asked.
public struct CountedDenoiser: Denoiser {
  public let base: any Denoiser
  public let counter: EvaluationCounter
  public var schedule: any NoiseSchedule { base.schedule }

  public init(_ base: any Denoiser, counter: EvaluationCounter = EvaluationCounter()) {
    (self.base, self.counter) = (base, counter)
  }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor {
    counter.increment()
    return base.denoise(x, at: t)
  }

  public func denoise(_ points: [Tensor], at times: [Double]) -> [Tensor] {
    for _ in points { counter.increment() }
    return base.denoise(points, at: times)
  }
}

/// A count that may be shared and added to from any thread.
public final class EvaluationCounter: Sendable {
  private let value = Atomic<Int>(0)

  public init() {}

  /// The evaluations so far; one is one call, whatever the size of its batch.
  public var count: Int { value.load(ordering: .relaxed) }
  /// Counts one evaluation.
  public func increment() { value.wrappingAdd(1, ordering: .relaxed) }
}
