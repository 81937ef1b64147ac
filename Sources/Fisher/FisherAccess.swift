import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// A way to the diffusion Fisher `F = −∇² log q_t`: evaluate at points, then apply.
///
/// Two steps, so that what depends on the points alone is computed once. The elements of a batch are independent: what is
/// known at one point depends on no other (a network that mixes its batch, by batch normalisation say, breaks this).
public protocol FisherAccess<Operator>: Sendable {
  associatedtype Operator
  /// The Fisher at a batch of points, shape `[B, …]`.
  func fisher(at x: Tensor, time t: Double) -> Operator
}

/// A Fisher whose trace can be had.
public protocol FisherTrace: Sendable {
  /// `tr F`, shape `[B]`.
  func trace() -> Tensor
  /// Independent unbiased estimates whose mean over the first axis is ``trace()``, shape `[probes, B]`; one row where the
  /// trace is no estimate.
  func traceSamples() -> Tensor
}

extension FisherTrace {
  public func traceSamples() -> Tensor { trace().expanded(at: 0) }

  /// The trace and its standard error, at the cost of the trace alone.
  public func traceEstimate() -> Estimate { Estimate(samples: traceSamples()) }
}

/// A Fisher that can be applied to vectors.
public protocol FisherMatvec: Sendable {
  /// `F v`, shape `[B, …]` in and out.
  func matvec(_ v: Tensor) -> Tensor
  /// `F v` for several vectors per point, shape `[n, B, …]` in and out; one product after another where nothing better is
  /// known.
  func matvecs(_ block: Tensor) -> Tensor
}

extension FisherMatvec {
  public func matvecs(_ block: Tensor) -> Tensor { .stacked((0..<block.batch).map { matvec(block[$0]) }) }
}

public typealias FisherOperator = FisherTrace & FisherMatvec
