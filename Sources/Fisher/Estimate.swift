import ScorefieldTensorCore

/// A value from random probes, and how far it may be off.
public struct Estimate: Sendable {
  /// Shape `[B]`.
  public let value: Tensor
  /// Shape `[B]`; nil for a single sample, which says nothing of its own error.
  public let standardError: Tensor?

  /// The mean of independent samples, shape `[n, B]`.
  public init(samples: Tensor) {
    value = samples.mean(0)
    standardError =
      samples.batch > 1 ? samples.standardDeviation(0) / Double(samples.batch).squareRoot() : nil
  }

  /// A smooth function of the estimate, its error carried along to first order.
  func mapped(_ function: (Tensor) -> Tensor, slope: (Tensor) -> Tensor) -> Estimate {
    Estimate(value: function(value), standardError: standardError.map { slope(value).abs() * $0 })
  }

  private init(value: Tensor, standardError: Tensor?) { (self.value, self.standardError) = (value, standardError) }
}
