import RealModule
import ScorefieldArrays
import ScorefieldTensorCore

/// Plane waves of random directions and wavelengths, each faded out where the noise would have washed it away.
///
///     y ↦ e^{−(|ω|k)²/8} (sin ω·y, cos ω·y)
///
/// Data under noise of standard deviation `k` have no structure finer than `k`: a network that is shown finer waves there
/// can only fit noise. Coarse waves are log-uniform in `|ω|`, fine ones uniform in a ball: as many of each wavelength as there
/// are to tell apart. They are not trained; a seed makes them.
///
/// Source: Tancik et al. 2020, arXiv:2006.10739, section 4; the fading is that of Barron et al. 2021, arXiv:2103.13415,
/// eq. 14, for a quarter of the exponent.
public struct FourierFeatures: Sendable {
  /// What the waves are made by.
  public struct Configuration: Codable, Sendable, Equatable {
    /// How many waves are coarse, and the smallest and the largest `|ω|` of them.
    public var count: Int
    public var lowest, highest: Double
    /// How many are fine, and the largest `|ω|` of them.
    public var fineCount: Int
    public var finest: Double
    public var seed: UInt64

    public init(
      count: Int = 128, lowest: Double = 0.3, highest: Double = 20, fineCount: Int = 384, finest: Double = 80,
      seed: UInt64 = 0
    ) {
      (self.count, self.lowest, self.highest) = (count, lowest, highest)
      (self.fineCount, self.finest, self.seed) = (fineCount, finest, seed)
    }

    /// Why there are no such waves; nil where there are.
    var problem: String? {
      count > 0 && fineCount >= 0 && lowest > 0 && highest >= lowest && highest.isFinite && finest > 0
        && finest.isFinite
        ? nil : "there are waves, 0 < lowest ≤ highest, and finest is above 0"
    }
  }

  /// `ω`, shape `[n, d]`, and `|ω|²/8`, shape `[n]`.
  private let frequencies, fading: Tensor
  /// How many numbers come out.
  public var count: Int { 2 * frequencies.batch }

  public init(_ configuration: Configuration, dimension: Int) {
    if let problem = configuration.problem { fatalError("FourierFeatures(\(configuration)): \(problem)") }
    var generator = Generator(seed: configuration.seed)
    let total = configuration.count + configuration.fineCount
    let directions = Tensor.normal([total, dimension], using: &generator)
    let shares = Tensor.uniform([total, 1], using: &generator)
    let span = Double.log(configuration.highest / configuration.lowest)
    let coarse = configuration.lowest * (span * shares[..<configuration.count]).exp()
    let fine = configuration.finest * shares[configuration.count...].pow(1 / Double(dimension))
    let sizes = Tensor.concatenated([coarse, fine])
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
