import ScorefieldPaths
import ScorefieldTensorCore

/// The denoiser that a prediction is, whatever it predicts: a network with its head, or any function.
///
///     x̂₀ = (B x − σ s y)/Δ
public struct PredictionDenoiser: Denoiser {
  public let head: Head
  public let schedule: any NoiseSchedule
  /// The head's output at points of a kernel, shape `[B, …]` in and out.
  public let predict: @Sendable (Tensor, PerturbationKernel) -> Tensor

  public init(
    _ head: Head, on schedule: any NoiseSchedule, predict: @escaping @Sendable (Tensor, PerturbationKernel) -> Tensor
  ) {
    (self.head, self.schedule, self.predict) = (head, schedule, predict)
  }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor {
    let kernel = schedule.kernel(at: t)
    guard let conversion = head.conversion(to: .data, at: kernel) else {
      fatalError("denoise(at: \(t)): the prediction does not tell the data at α = \(kernel.alpha), σ = \(kernel.sigma)")
    }
    return conversion(predict(x, kernel), at: x)
  }
}
