import RealModule
import ScorefieldArrays
import ScorefieldTensorCore

/// Plane waves of random directions and wavelengths, each faded out where the noise would have washed it away.
///
///     y ↦ e^{−(|ω|k)²/8} (sin ω·y, cos ω·y)
///
/// Data under noise of standard deviation `k` have no structure finer than `k`: a network that is shown finer waves there
/// can only fit noise. The frequencies are log-uniform and are not trained; a seed makes them.
///
/// Source: Tancik et al. 2020, arXiv:2006.10739, section 4; the fading is that of Barron et al. 2021, arXiv:2103.13415,
/// eq. 14, for an eighth of the exponent.
public struct FourierFeatures: Sendable {
  /// What the waves are made by.
  public struct Configuration: Codable, Sendable, Equatable {
    /// How many there are.
    public var count: Int
    /// The smallest and the largest `|ω|`.
    public var lowest, highest: Double
    public var seed: UInt64

    public init(count: Int = 128, lowest: Double = 0.3, highest: Double = 20, seed: UInt64 = 0) {
      (self.count, self.lowest, self.highest, self.seed) = (count, lowest, highest, seed)
    }
  }

  /// `ω`, shape `[n, d]`, and `|ω|²/8`, shape `[n]`.
  private let frequencies, fading: Tensor
  /// How many numbers come out.
  public var count: Int { 2 * frequencies.batch }

  public init(_ configuration: Configuration, dimension: Int) {
    guard configuration.count > 0, configuration.lowest > 0, configuration.highest >= configuration.lowest else {
      fatalError("FourierFeatures(\(configuration)): needs waves, and 0 < lowest ≤ highest")
    }
    var generator = Generator(seed: configuration.seed)
    let directions = Tensor.normal([configuration.count, dimension], using: &generator)
    let span = Double.log(configuration.highest / configuration.lowest)
    let sizes = configuration.lowest * (span * Tensor.uniform([configuration.count, 1], using: &generator)).exp()
    frequencies = sizes * directions / directions.norm(-1, keeping: true)
    fading = sizes.squared().squeezed(1) / 8
  }

  /// - Parameters:
  ///   - y: Points in the scale of the data, shape `[B, d]`.
  ///   - k: The standard deviation of their noise in that scale, shape `[B, 1]`.
  /// - Returns: Shape `[B, 2n]`, in the type of `y`.
  public func callAsFunction(_ y: Tensor, noise k: Tensor) -> Tensor {
    let phases = y.matmul(frequencies.to(y.elementType).to(y.device).transposed)
    let size = (-fading.to(y.elementType).to(y.device) * k.squared()).exp()
    return .concatenated([size * phases.sin(), size * phases.cos()], 1)
  }
}
