import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// A way to the diffusion Fisher `F = −∇² log q_t`: evaluate at points, then apply.
///
/// Two steps, so that what depends on the points alone is computed once.
public protocol FisherAccess<Operator>: Sendable {
  associatedtype Operator
  /// The Fisher at a batch of points, shape `[B, …]`.
  func fisher(at x: Tensor, time t: Double) -> Operator
}

/// A Fisher whose trace can be had.
public protocol FisherTrace: Sendable {
  /// `tr F`, shape `[B]`.
  func trace() -> Tensor
}

/// A Fisher that can be applied to vectors.
public protocol FisherMatvec: Sendable {
  /// `F v`, shape `[B, …]` in and out.
  func matvec(_ v: Tensor) -> Tensor
}

public typealias FisherOperator = FisherTrace & FisherMatvec
