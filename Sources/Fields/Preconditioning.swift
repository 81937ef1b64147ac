import RealModule
import ScorefieldPaths

/// How a network is asked about a point, and what its answer means.
///
///     F(c_in x, c_noise) predicts what the head says
///
/// Source: Karras et al. 2022, arXiv:2206.00364, eq. 7; `c_skip` and `c_out` are the head's conversion to the data.
public struct Preconditioning: Sendable {
  /// What the network predicts.
  public let head: Head
  /// The standard deviation of the data that it expects.
  public let sigmaData: Double

  /// A head, asked about points of unit variance: `c_in = 1/√(α² σ_d² + σ²)`.
  public init(_ head: Head, sigmaData: Double) {
    guard sigmaData > 0, sigmaData.isFinite else {
      fatalError("Preconditioning(sigmaData: \(sigmaData)): the data's standard deviation must be larger than 0")
    }
    (self.head, self.sigmaData) = (head, sigmaData)
  }

  /// That of an EDM, whose network sees and predicts things of unit variance at every noise level.
  ///
  /// Source: Karras et al. 2022, arXiv:2206.00364, table 1 (there α = 1).
  public static func edm(sigmaData: Double) -> Preconditioning {
    Preconditioning(.edm(sigmaData: sigmaData), sigmaData: sigmaData)
  }

  /// `c_in`.
  public func input(at kernel: PerturbationKernel) -> Double {
    let signal = kernel.alpha * sigmaData
    return 1 / (signal * signal + kernel.sigma * kernel.sigma).squareRoot()
  }

  /// `c_noise = log(σ/α)`, the same for all schedules that reach a noise-to-signal ratio.
  public func noise(at kernel: PerturbationKernel) -> Double { -kernel.halfLogSNR }
}
