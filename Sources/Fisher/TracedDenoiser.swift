import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// A denoiser that gives the trace of its Fisher in the same evaluation.
///
/// A likelihood asks for both at every step.
public protocol TracedDenoiser: Denoiser {
  /// `x̂₀(x, t)`, shape `[B, …]`, and independent estimates of `tr F`, shape `[estimates, B]`; one row where it is none.
  func denoiseWithTraces(_ x: Tensor, at t: Double) -> (data: Tensor, traces: Tensor)
  /// How many independent estimates ``denoiseWithTraces(_:at:)`` gives at points like these.
  func estimateCount(at x: Tensor, time t: Double) -> Int
  /// The exact field behind it, where there is one.
  var exactField: (any ExactField)? { get }
}

extension TracedDenoiser {
  /// One: the trace is no random estimate.
  public func estimateCount(at x: Tensor, time t: Double) -> Int { 1 }
  public var exactField: (any ExactField)? { nil }
}

/// A denoiser beside a Fisher access: two evaluations where nothing is known to be shared.
public struct WithTrace<Access: FisherAccess>: TracedDenoiser where Access.Operator: FisherTrace {
  public let denoiser: any Denoiser
  public let access: Access
  public var schedule: any NoiseSchedule { denoiser.schedule }

  public var exactField: (any ExactField)? { denoiser as? any ExactField }

  public init(_ denoiser: any Denoiser, _ access: Access) { (self.denoiser, self.access) = (denoiser, access) }

  public func estimateCount(at x: Tensor, time t: Double) -> Int {
    // Not of one point: a model may know something of each, and take whole batches only.
    access.fisher(at: x, time: t).traceSamples().shape[0]
  }

  public func denoise(_ x: Tensor, at t: Double) -> Tensor { denoiser.denoise(x, at: t) }

  public func denoiseWithTraces(_ x: Tensor, at t: Double) -> (data: Tensor, traces: Tensor) {
    (denoiser.denoise(x, at: t), access.fisher(at: x, time: t).traceSamples())
  }
}
