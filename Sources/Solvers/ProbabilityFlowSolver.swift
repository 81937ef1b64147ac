import ScorefieldFields
import ScorefieldTensorCore

/// A method for velocity fields as one that asks for the estimates of a denoiser: it steps along the probability flow.
public struct ProbabilityFlowSolver<Base: Solver>: Solver where Base.Field == any VelocityField {
  public let base: Base

  public init(_ base: Base) { self.base = base }

  public func makeMemory() -> Base.Memory { base.makeMemory() }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout Base.Memory
  ) -> Tensor {
    base.step(x, from: t, to: s, in: ProbabilityFlow(field), memory: &memory)
  }

  public func outcome(_ memory: Base.Memory) -> Outcome { base.outcome(memory) }
}

extension Solver where Field == any VelocityField {
  /// The same along the probability flow of a denoiser.
  public var alongProbabilityFlow: ProbabilityFlowSolver<Self> { ProbabilityFlowSolver(self) }
}
