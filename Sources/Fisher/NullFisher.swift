import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// The Fisher of the noise alone, the baseline: `F = I/σ²`.
///
/// Exact for a single data point, and nearly so where σ is far below the spacing of the data or far above their extent.
public struct NullFisher: FisherAccess {
  public let schedule: any NoiseSchedule

  public init(on schedule: any NoiseSchedule) { self.schedule = schedule }

  public func fisher(at x: Tensor, time t: Double) -> At { At(kernel: schedule.kernel(at: t), x: x) }

  /// The same at every point.
  public struct At: FisherOperator {
    fileprivate let kernel: PerturbationKernel
    fileprivate let x: Tensor

    public func trace() -> Tensor {
      kernel.fisherTrace(residual: .zeros([x.batch], type: x.elementType, on: x.device), dimension: x.dimension)
    }
    public func matvec(_ v: Tensor) -> Tensor { v / (kernel.sigma * kernel.sigma) }
    public func matvecs(_ block: Tensor) -> Tensor { matvec(block) }
  }
}
