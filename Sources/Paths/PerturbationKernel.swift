import RealModule

/// `p(x_t | x₀) = N(α x₀, σ² I)` at one time, and the coefficients of its forward SDE `dx = f x dt + g dW`.
public struct PerturbationKernel: Sendable, Equatable {
  public let time, alpha, sigma: Double
  /// `dα/dt` and `dσ/dt`.
  public let alphaRate, sigmaRate: Double

  public init(time: Double, alpha: Double, sigma: Double, alphaRate: Double, sigmaRate: Double) {
    (self.time, self.alpha, self.sigma) = (time, alpha, sigma)
    (self.alphaRate, self.sigmaRate) = (alphaRate, sigmaRate)
  }

  /// `λ = log(α/σ)`, half the logarithm of the signal-to-noise ratio.
  public var halfLogSNR: Double { .log(alpha / sigma) }
  /// `α²/σ²`.
  public var signalToNoise: Double { (alpha / sigma) * (alpha / sigma) }
  /// `σ/α`, the noise of `x/α`.
  public var noiseToSignal: Double { sigma / alpha }
  /// `d log(σ/α)/dt`.
  public var logRatioRate: Double { sigmaRate / sigma - alphaRate / alpha }
  /// `f = d log α / dt`.
  public var drift: Double { alphaRate / alpha }
  /// `g² = dσ²/dt − 2 f σ²`.
  public var diffusionSquared: Double { 2 * sigma * (sigmaRate - drift * sigma) }
  /// `g`; stops where the signal-to-noise ratio rises, which no noise can do.
  public var diffusion: Double {
    guard diffusionSquared >= 0 else {
      fatalError(
        "diffusion: g² = \(diffusionSquared) at time \(time), where log(α/σ) does not fall; no SDE has this path")
    }
    return diffusionSquared.squareRoot()
  }
}
