import RealModule
import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// What is taken for the distribution of `x` at the noisy end of a likelihood.
public struct Prior: Sendable {
  private enum Kind {
    case normal(deviation: Double?)
    case exact(any ExactField)
  }
  private let kind: Kind

  /// The normal distribution that samplers start from, `N(0, σ² I)`: what is left of the data is left out.
  public static var normal: Prior { Prior(kind: .normal(deviation: nil)) }
  /// A centred normal distribution of the given standard deviation in every coordinate.
  public static func normal(standardDeviation: Double) -> Prior {
    guard standardDeviation > 0 else { fatalError("normal(standardDeviation: \(standardDeviation)): must be positive") }
    return Prior(kind: .normal(deviation: standardDeviation))
  }
  /// An exact field's own marginal.
  public static func exact(_ field: any ExactField) -> Prior { Prior(kind: .exact(field)) }

  /// The logarithm of the prior's density.
  ///
  /// - Parameters:
  ///   - x: The points, shape `[B, …]`.
  ///   - t: The time at which they are, on `schedule`.
  ///   - schedule: How data become noise.
  /// - Returns: Shape `[B]`, nats, `float64`.
  public func logDensity(_ x: Tensor, at t: Double, on schedule: any NoiseSchedule) -> Tensor {
    switch kind {
    case .exact(let field): return field.posterior(x, at: t).logDensity.to(.float64)
    case .normal(let given):
      let deviation = given ?? schedule.kernel(at: t).sigma
      let rows = x.to(.float64).flattened
      let normalizer = Double(rows.shape[1]) * (.log(deviation) + 0.5 * .log(2 * .pi))
      return (-0.5 / (deviation * deviation)) * rows.squared().sum(-1) - normalizer
    }
  }

  /// The exact field of this prior, or nil.
  var field: (any ExactField)? {
    if case .exact(let field) = kind { field } else { nil }
  }
}

/// Noise for a sampler to start from: draws from ``Prior/normal``, `N(0, σ² I)`.
///
/// Nothing of the data is in it, not even their mean. The likelihood of a sample under that prior is the density of what
/// the probability flow makes of these draws.
///
/// - Parameters:
///   - shape: `[B, …]`.
///   - t: The time the sampler starts at, on `schedule`.
///   - schedule: How data become noise.
///   - type: The element type.
///   - device: Where the draws are.
///   - generator: Where they come from.
/// - Returns: The draws.
public func startingNoise(
  _ shape: [Int], at t: Double, on schedule: any NoiseSchedule, type: ElementType = .float64, device: Device = .cpu,
  using generator: inout Generator
) -> Tensor {
  schedule.kernel(at: t).sigma * Tensor.normal(shape, type: type, on: device, using: &generator)
}
