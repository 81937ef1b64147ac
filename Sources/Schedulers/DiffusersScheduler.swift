import ScorefieldArrays
import ScorefieldFields
import ScorefieldSolvers
import ScorefieldTensorCore

/// A scheduler of diffusers with its settings: a value that plans samplers.
///
/// A conformer reads its file with its own standard values, and says where its steps lead and which solver takes them.
protocol DiffusersScheduler: Sendable {
  /// The name of the class.
  static var className: String { get }
  init(_ file: inout SchedulerFile) throws(ArrayFileError)
  /// What the model was trained to predict.
  var head: Head { get }
  var limit: EstimateLimit { get }
  var clock: ModelClock { get }
  /// The scheduler of an image that has its own shift `μ`, or nil where there is no such thing.
  func dynamicallyShifted(by mu: Double) -> Self?
  /// Whether there is no way without one.
  var needsShift: Bool { get }
  /// The way of a number of steps, which is at least 1 and fits the class.
  func plan(_ steps: Int, eta: Double) -> SamplingPlan
  /// The numbers of steps there can be.
  var steps: ClosedRange<Int> { get }
}

extension DiffusersScheduler {
  var limit: EstimateLimit { .none }
  var needsShift: Bool { false }
  func dynamicallyShifted(by mu: Double) -> Self? { nil }
}

/// A way from the noise to the data, and how it is gone.
struct SamplingPlan: Sendable {
  /// What the model is told, call by call.
  let timesteps: [Double]
  let nodes: [SchedulerNode]
  /// The steps, by the numbers of their nodes.
  let steps: [(from: Int, to: Int)]
  /// The deviation of the first state, where the noise is of deviation 1.
  let startScale: Double
  /// The solver of a source of noise.
  let solver: @Sendable (NoiseSource) -> any Solver<ScheduledModel>

  init(
    timesteps: [Double], nodes: [SchedulerNode], steps: [(from: Int, to: Int)], startScale: Double = 1,
    solver: @escaping @Sendable (NoiseSource) -> any Solver<ScheduledModel>
  ) {
    (self.timesteps, self.nodes, self.steps) = (timesteps, nodes, steps)
    (self.startScale, self.solver) = (startScale, solver)
  }

  /// A way from each node to the next, asked at all but the last.
  init(
    along nodes: [SchedulerNode], startScale: Double = 1,
    solver: @escaping @Sendable (NoiseSource) -> any Solver<ScheduledModel>
  ) {
    self.init(
      timesteps: nodes.dropLast().map(\.timestep), nodes: nodes, steps: (0..<nodes.count - 1).map { ($0, $0 + 1) },
      startScale: startScale, solver: solver)
  }
}

/// A solver for denoisers, on the nodes of a way.
struct OnNodes<Base: Solver>: Solver where Base.Field == any Denoiser {
  let base: Base

  init(_ base: Base) { self.base = base }

  func makeMemory() -> Base.Memory { base.makeMemory() }

  func step(
    _ x: Tensor, from t: Double, to s: Double, in field: ScheduledModel, memory: inout Base.Memory
  ) -> Tensor {
    base.step(x, from: t, to: s, in: field, memory: &memory)
  }
}
