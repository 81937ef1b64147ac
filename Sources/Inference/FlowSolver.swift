import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// A step along the probability flow, integrated in `log(σ/α)` as the likelihood is.
///
/// Every schedule has the same flow there, without the kinks that a table of noise levels has in time.
///
/// - Order: That of the method; as many evaluations per step as it needs.
public struct FlowSolver: Solver {
  public typealias Field = any Denoiser
  public let method: LikelihoodSolver

  /// How the steps so far went.
  public struct Memory: Sendable {
    fileprivate var outcome = Outcome.converged
  }

  public init(_ method: LikelihoodSolver = .dopri5()) { self.method = method }

  public func makeMemory() -> Memory { Memory() }
  public func outcome(_ memory: Memory) -> Outcome { memory.outcome }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout Memory
  ) -> Tensor {
    let end = carry(x, under: field, from: t, to: s, method)
    memory.outcome = end.outcome
    return end.points
  }
}
