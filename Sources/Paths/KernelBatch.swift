import ScorefieldTensorCore

/// The kernels of a batch whose points have a time each.
public struct KernelBatch: Sendable {
  public let kernels: [PerturbationKernel]

  public init(_ kernels: [PerturbationKernel]) { self.kernels = kernels }

  public init(_ schedule: any NoiseSchedule, at times: [Double]) { kernels = schedule.kernels(at: times) }

  /// A quantity of each kernel as a column that multiplies `x`, shape `[B, 1, …]`, in the type of `x`.
  public func column(like x: Tensor, _ quantity: (PerturbationKernel) -> Double) -> Tensor {
    let shape = [kernels.count] + Array(repeating: 1, count: x.rank - 1)
    return Tensor(kernels.map(quantity), shape: shape).to(x.elementType).to(x.device)
  }

  /// A quantity of each kernel, shape `[B]`, in the type of `x`.
  public func row(like x: Tensor, _ quantity: (PerturbationKernel) -> Double) -> Tensor {
    Tensor(kernels.map(quantity)).to(x.elementType).to(x.device)
  }

  /// Values, shape `[B]`, replaced by their mean over the kernels with about the same noise-to-signal ratio.
  ///
  /// - Parameters:
  ///   - values: Shape `[B]`.
  ///   - bins: Into how many parts the batch's range of `log(σ/α)` is cut.
  /// - Returns: Shape `[B]`.
  public func binnedMeans(of values: Tensor, bins: Int = 32) -> Tensor {
    let levels = kernels.map { -$0.halfLogSNR }
    guard let low = levels.min(), let high = levels.max(), high > low else {
      return .zeros(like: values) + values.mean()
    }
    let places = Tensor(levels.map { min(Int(Double(bins) * ($0 - low) / (high - low)), bins - 1) })
    let members = places.oneHot(bins).to(values.elementType).to(values.device)
    let means = values.expanded(at: 0).matmul(members) / members.sum(0, keeping: true).clamped(1)
    return means.squeezed(0).selecting(places.to(values.device))
  }
}
