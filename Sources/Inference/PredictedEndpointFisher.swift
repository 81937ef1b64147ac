import ScorefieldFields
import ScorefieldFisher
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// The endpoint form of the Fisher where no endpoint is at hand: a few steps of the probability flow lead to one.
///
/// The flow's endpoint is no draw of the posterior: at large noise it is near the mean, and the form near the baseline `I/σ²`.
///
/// - Cost: `n + 2` evaluations of the denoiser per batch of points, and `O(B d)` per product.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, eq. 20 and section 5.
public struct PredictedEndpointFisher: FisherAccess {
  public let denoiser: any Denoiser
  public let form: EndpointFisher.Form
  /// `n`, the steps that lead to the endpoint.
  public let steps: Int

  /// The endpoint form of a denoiser.
  ///
  /// - Parameters:
  ///   - denoiser: The denoiser.
  ///   - form: Which second moment an endpoint stands for.
  ///   - steps: How many DDIM steps lead to it, evenly in `log(σ/α)`.
  public init(_ denoiser: any Denoiser, form: EndpointFisher.Form = .printed, steps: Int = 10) {
    guard steps > 0 else { fatalError("PredictedEndpointFisher(steps: \(steps)): needs at least one") }
    (self.denoiser, self.form, self.steps) = (denoiser, form, steps)
  }

  public func fisher(at x: Tensor, time t: Double) -> EndpointFisher.At {
    EndpointFisher(denoiser, endpoint: endpoint(of: x, at: t), form: form).fisher(at: x, time: t)
  }

  /// Where the flow leads from points at a time.
  public func endpoint(of x: Tensor, at t: Double) -> Tensor {
    let first = denoiser.schedule.timeRange.lowerBound
    guard first < t else { return denoiser.denoise(x, at: t) }
    let grid = TimeGrid.uniformHalfLogSNR(steps, over: denoiser.schedule, from: t, to: first)
    return denoiser.denoise(integrate(x, along: grid, with: .ddim, in: denoiser), at: first)
  }
}
