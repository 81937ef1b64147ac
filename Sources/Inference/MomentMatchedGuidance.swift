import ScorefieldFields
import ScorefieldFisher
import ScorefieldPaths
import ScorefieldTensorCore

/// Posterior sampling with the spread of the estimate: the likelihood of a linear measurement where `x₀` given `x` is taken to be
/// normal, with the moments that it has.
///
///     C = (σ²/α²)(I − σ² F),   x̂₀ + C Aᵀ r,   (A C Aᵀ + σ_y² I) r = y − A x̂₀
///
/// It is the update of a Kalman filter, exact where the data are normal. Diffusion posterior sampling leaves `A C Aᵀ` out, and pulls
/// too strongly. The system is solved by conjugate gradients, so `F` is asked for products only, and no gradient is taken.
///
/// - Cost: One evaluation of the denoiser, and one product of the Fisher per iteration and one at the end; at most as many iterations
///   as there are numbers seen.
///
/// Source: Boys et al. 2023, arXiv:2310.06721, eq. 14; the covariance by the Fisher is Tweedie's second formula.
public struct MomentMatchedGuidance<F: FisherAccess>: Denoiser where F.Operator: FisherMatvec {
  public let base: any Denoiser
  public let fisher: F
  public let measurement: any LinearMeasurement
  /// `y`, `[B, …]` or `[1, …]` for all.
  public let observed: Tensor
  /// `σ_y`.
  public let deviation: Double
  /// The most iterations, and the residual they end at, relative to that at the start.
  public let iterations: Int
  public let tolerance: Double
  public var schedule: any NoiseSchedule { base.schedule }

  /// A denoiser that has seen a measurement.
  ///
  /// - Parameters:
  ///   - base: The denoiser.
  ///   - measurement: `A`.
  ///   - observed: `y`, shape `[B, …]` or `[1, …]` for all.
  ///   - deviation: `σ_y`.
  ///   - fisher: The products `F v` of the denoiser.
  ///   - iterations: The most iterations.
  ///   - tolerance: The residual they end at, relative to that at the start.
  public init(
    _ base: any Denoiser, _ measurement: any LinearMeasurement, observed: Tensor, deviation: Double, fisher: F,
    iterations: Int = 30, tolerance: Double = 1e-6
  ) {
    guard deviation > 0, iterations > 0, tolerance > 0 else {
      fatalError(
        "MomentMatchedGuidance(deviation: \(deviation), iterations: \(iterations), tolerance: \(tolerance)): must be positive"
      )
    }
    (self.base, self.measurement, self.observed, self.deviation) = (base, measurement, observed, deviation)
    (self.fisher, self.iterations, self.tolerance) = (fisher, iterations, tolerance)
  }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor {
    let kernel = schedule.kernel(at: t)
    let estimate = base.denoise(x, at: t)
    let products = fisher.fisher(at: x, time: t)
    let seen = measurement.apply(estimate)
    guard seen.shape.dropFirst() == observed.shape.dropFirst(), [1, x.batch].contains(observed.batch) else {
      fatalError(
        "MomentMatchedGuidance(observed: \(observed.shape)): a measurement of \(x.shape) has shape \(seen.shape)")
    }
    let ratio = kernel.noiseToSignal * kernel.noiseToSignal
    /// `C Aᵀ u`.
    func spread(_ u: Tensor) -> Tensor {
      let v = measurement.adjoint(u, like: x)
      return ratio * (v - (kernel.sigma * kernel.sigma) * products.matvec(v))
    }
    let inner = [seen.batch] + [Int](repeating: 1, count: seen.rank - 1)
    func dot(_ a: Tensor, _ b: Tensor) -> Tensor { (a * b).flattened.sum(-1).reshaped(inner) }

    var residual = observed.to(seen.elementType) - seen
    var solution = Tensor.zeros(like: residual)
    var direction = residual
    var square = dot(residual, residual)
    let target = (tolerance * tolerance) * square
    for _ in 0..<min(iterations, seen.flattened.shape[1]) {
      let image = measurement.apply(spread(direction)) + (deviation * deviation) * direction
      // Samples that have arrived stay where they are.
      let curvature = dot(direction, image)
      let step = (square / curvature).replacing(with: 0, where: square .<= target)
        .replacing(with: 0, where: curvature .<= 0)
      solution += step * direction
      residual -= step * image
      let next = dot(residual, residual)
      guard (next .> target).any() else { break }
      direction = residual + (next / square.clamped(1e-300)).replacing(with: 0, where: step .== 0) * direction
      square = next
    }
    return estimate + spread(solution)
  }
}
