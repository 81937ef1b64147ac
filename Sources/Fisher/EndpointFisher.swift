import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// The Fisher from one draw of the posterior in place of all of it: an endpoint of the sampling path, no gradient.
///
///     F v ≈ (v − (α²/σ²)(x₀ (x₀·v) − ȳ (ȳ·v)))/σ²           as printed
///     F v ≈ (v − (α²/σ²)(x₀ − ȳ) ((x₀ − ȳ)·v))/σ²           centred
///
/// Both put one `x₀` for the posterior's second moment, and are right on average where `x₀` is drawn from it. The centred one is the
/// smaller in norm, and symmetric positive below `I/σ²`. Where `x₀ = ȳ`, the endpoint of the estimate itself, both are the baseline `I/σ²`.
///
/// - Cost: One evaluation of the denoiser per batch of points, and `O(B d)` per product.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, eq. 20 (DF-EA); the centred form is ours.
public struct EndpointFisher: FisherAccess {
  /// Which second moment one draw stands for.
  public enum Form: Sendable {
    /// Of the data, `x₀ x₀ᵀ`, from which the mean's is taken.
    case printed
    /// Of the deviation, `(x₀ − ȳ)(x₀ − ȳ)ᵀ`.
    case centred
  }

  public let denoiser: any Denoiser
  /// `x₀`, in the shape of the points.
  public let endpoint: Tensor
  public let form: Form

  /// The Fisher of a denoiser from given endpoints.
  ///
  /// - Parameters:
  ///   - denoiser: Gives `ȳ`.
  ///   - endpoint: `x₀` of each point, shape `[B, …]`.
  ///   - form: Which second moment it stands for.
  public init(_ denoiser: any Denoiser, endpoint: Tensor, form: Form = .printed) {
    (self.denoiser, self.endpoint, self.form) = (denoiser, endpoint, form)
  }

  public func fisher(at x: Tensor, time t: Double) -> At {
    guard x.shape == endpoint.shape else {
      fatalError("EndpointFisher.fisher(at: \(x.shape)): the endpoints are \(endpoint.shape)")
    }
    let mean = denoiser.denoise(x, at: t)
    return At(
      kernel: denoiser.schedule.kernel(at: t), shape: x.shape,
      draw: form == .printed ? endpoint.flattened : (endpoint - mean).flattened,
      mean: form == .printed ? mean.flattened : nil)
  }

  /// The Fisher at a batch of points.
  public struct At: FisherOperator {
    fileprivate let kernel: PerturbationKernel
    fileprivate let shape: [Int]
    fileprivate let draw: Tensor
    fileprivate let mean: Tensor?

    public func trace() -> Tensor {
      let spread =
        draw.squared().sum(-1) - (mean.map { $0.squared().sum(-1) } ?? .zeros([draw.batch], type: draw.elementType))
      return kernel.fisherTrace(
        residual: spread / (kernel.noiseToSignal * kernel.noiseToSignal), dimension: draw.shape[1])
    }

    public func matvec(_ v: Tensor) -> Tensor { matvecs(v.expanded(at: 0)).squeezed(0) }

    public func matvecs(_ block: Tensor) -> Tensor {
      let v = block.vectors
      func outer(_ u: Tensor) -> Tensor { u * v.dot(u).expanded(at: -1) }
      let product = outer(draw) - (mean.map(outer) ?? .zeros(like: v))
      let precision = 1 / (kernel.sigma * kernel.sigma)
      return (precision * (v - (product / (kernel.noiseToSignal * kernel.noiseToSignal)))).reshaped(block.shape)
    }
  }
}
