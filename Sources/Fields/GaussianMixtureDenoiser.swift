import ScorefieldArrays
import ScorefieldPaths
import ScorefieldTensorCore

/// The exact field of a mixture of Gaussians.
///
///     Cₖ = α² Σₖ + σ² I,   rₖ ∝ wₖ N(x; α mₖ, Cₖ),   sₖ = −Cₖ⁻¹ (x − α mₖ)
///     ∇ log q = Σₖ rₖ sₖ,   x̂₀ = Σₖ rₖ μₖ,   μₖ = mₖ − α Σₖ sₖ
///     C = Σₖ rₖ (σ² Σₖ Cₖ⁻¹ + (μₖ − x̂₀)(μₖ − x̂₀)ᵀ)
///     ∇² log q = Σₖ rₖ ((sₖ − ∇ log q)(sₖ − ∇ log q)ᵀ − Cₖ⁻¹)
///
/// Everything is computed in `float64` and answered in the element type of the points. No term is the small difference of
/// large ones as σ → 0, or as σ/α → ∞; a component of covariance 0 is a point.
///
/// - Cost: `O(B·K·d²)` for a batch of `B` points and `K` components, `O(B·K·d)` where their covariances are diagonal.
///
/// Source: Bishop 2006, *Pattern Recognition and Machine Learning*, eqs. 2.113–2.117, for each component.
public struct GaussianMixtureDenoiser: ExactField {
  public let schedule: any NoiseSchedule
  public let mixture: GaussianMixture

  public init(_ mixture: GaussianMixture, on schedule: any NoiseSchedule) {
    (self.mixture, self.schedule) = (mixture, schedule)
  }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor {
    let kernel = schedule.kernel(at: t)
    let means = chunks(x, nil).map { x, _ in Components(of: mixture, at: x, kernel.alpha, kernel.sigma).mean }
    return Tensor.concatenated(means).to(x.elementType)
  }

  public func posterior(_ x: Tensor, at t: Double, along direction: Tensor?) -> PosteriorMoments {
    let kernel = schedule.kernel(at: t)
    let parts = chunks(x, direction).map { x, direction in
      Components(of: mixture, at: x, kernel.alpha, kernel.sigma).moments(kernel, along: direction)
    }
    func joined(_ part: (PosteriorMoments) -> Tensor) -> Tensor {
      Tensor.concatenated(parts.map(part)).to(x.elementType)
    }
    return PosteriorMoments(
      kernel: kernel, logDensity: joined(\.logDensity), mean: joined(\.mean), score: joined(\.score),
      covarianceTrace: joined(\.covarianceTrace),
      covarianceProduct: direction.map { _ in joined { $0.covarianceProduct! } },
      laplacian: joined(\.laplacian), hessianProduct: direction.map { _ in joined { $0.hessianProduct! } })
  }

  /// Points and directions in `float64`, a few at a time: about a million numbers for all components.
  private func chunks(_ x: Tensor, _ direction: Tensor?) -> [(Tensor, Tensor?)] {
    guard x.rank == 2, x.shape[1] == mixture.dimension, direction == nil || direction!.shape == x.shape else {
      fatalError(
        "posterior(\(x.shape), along: \(direction.map { "\($0.shape)" } ?? "nothing")): the mixture is of dimension "
          + "\(mixture.dimension)")
    }
    guard x.elementType.isFloatingPoint else {
      fatalError("posterior(\(x.shape) \(x.elementType.rawValue)): needs floating-point numbers")
    }
    let size = Swift.max(1, (1 << 20) / mixture.means.count)
    let directions = direction?.to(.float64).split(size)
    return x.to(.float64).split(size).enumerated().map { ($1, directions?[$0]) }
  }

  /// What each component says of a batch of points; arrays are `[K, B, …]`, positions are taken from the means' centre.
  struct Components {
    private let mixture: GaussianMixture
    private let sigma: Double
    /// The eigenvalues of `Cₖ`, `[K, 1, d]`, and those of `Σₖ`.
    private let totals, variances: Tensor
    /// `log wₖ N(x; α mₖ, Cₖ)` without `(d/2) log 2π`, `[K, B]`.
    private let logits: Tensor
    /// `rₖ`, `[K, B, 1]`.
    private let shares: Tensor
    /// `sₖ` and `μₖ`.
    private let scores, means: Tensor

    init(of mixture: GaussianMixture, at x: Tensor, _ alpha: Double, _ sigma: Double) {
      (self.mixture, self.sigma) = (mixture, sigma)
      variances = mixture.variances.expanded(at: 1)
      totals = (alpha * alpha) * variances + sigma * sigma
      let centred = mixture.centredMeans.expanded(at: 1)
      let residuals = (x - alpha * mixture.centre) - alpha * centred
      let coordinates = Self.turned(residuals, into: mixture.axes)
      let scaled = coordinates / totals

      let exponents = (coordinates * scaled).sum(-1) + totals.log().sum(-1)
      logits = mixture.weights.log().expanded(at: 1) - 0.5 * exponents
      shares = logits.softmax(0).expanded(at: 2)
      scores = -Self.turned(scaled, outOf: mixture.axes)
      means = centred + alpha * Self.turned(variances * scaled, outOf: mixture.axes)
    }

    /// `log q`, `[B]`.
    var logDensity: Tensor { logits.logSumExp(0) - 0.5 * Double(mixture.dimension) * .log(2 * .pi) }
    /// `x̂₀`, `[B, d]`.
    var mean: Tensor { mixture.centre + average(means) }

    func moments(_ kernel: PerturbationKernel, along direction: Tensor?) -> PosteriorMoments {
      let score = average(scores)
      let (deviations, differences) = (means - average(means), scores - score)
      // The eigenvalues of σ² Σₖ Cₖ⁻¹ and of Cₖ⁻¹.
      let (within, precisions) = (variances * (sigma * sigma) / totals, totals.reciprocal())

      /// `Σₖ rₖ (Mₖ + uₖ uₖᵀ) v`, where `Mₖ` has the given eigenvalues.
      func product(_ eigenvalues: Tensor, _ vectors: Tensor, _ direction: Tensor) -> Tensor {
        let coordinates = Self.turned(direction.expanded(at: 0), into: mixture.axes)
        let inner = Self.turned(eigenvalues * coordinates, outOf: mixture.axes)
        return average(inner + vectors * (vectors * direction).sum(-1, keeping: true))
      }
      /// `Σₖ rₖ tr(Mₖ + uₖ uₖᵀ)`.
      func trace(_ eigenvalues: Tensor, _ vectors: Tensor) -> Tensor {
        average(eigenvalues.sum(-1, keeping: true) + vectors.squared().sum(-1, keeping: true)).squeezed(-1)
      }
      return PosteriorMoments(
        kernel: kernel, logDensity: logDensity, mean: mean, score: score, covarianceTrace: trace(within, deviations),
        covarianceProduct: direction.map { product(within, deviations, $0) },
        laplacian: trace(-precisions, differences),
        hessianProduct: direction.map { product(-precisions, differences, $0) })
    }

    /// `Σₖ rₖ aₖ`.
    private func average(_ values: Tensor) -> Tensor { (shares * values).sum(0) }

    /// Vectors `[K, B, d]` in the components' own coordinates.
    private static func turned(_ vectors: Tensor, into axes: Tensor?) -> Tensor {
      axes.map { vectors.matmul($0) } ?? vectors
    }
    /// Vectors `[K, B, d]` back from the components' own coordinates.
    private static func turned(_ vectors: Tensor, outOf axes: Tensor?) -> Tensor {
      axes.map { vectors.matmul($0.transposed) } ?? vectors
    }
  }
}
