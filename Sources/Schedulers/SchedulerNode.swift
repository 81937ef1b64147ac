import ScorefieldPaths

/// A place on a scheduler's way: where the state is, and what the model is told there.
struct SchedulerNode: Sendable {
  /// What the model is told.
  let timestep: Double
  /// The level of the state.
  let kernel: PerturbationKernel
  /// What the state is multiplied by before the model sees it.
  let inputScale: Double

  init(_ timestep: Double, _ kernel: PerturbationKernel, inputScale: Double = 1) {
    (self.timestep, self.kernel, self.inputScale) = (timestep, kernel, inputScale)
  }

  /// A place of `x/α` whose model sees `x` on a variance-preserving path.
  static func scaled(_ timestep: Double, _ sigma: Double) -> Self {
    Self(timestep, .exploding(sigma), inputScale: 1 / (sigma * sigma + 1).squareRoot())
  }

  /// A place nobody asks at.
  static func end(_ kernel: PerturbationKernel) -> Self { Self(0, kernel) }
}

/// The nodes of a way as a schedule, so that solvers for schedules go along it: a time is the number of a node.
///
/// Noise may end at nothing, and a level may come twice; no rates are known.
struct NodeSchedule: NoiseSchedule {
  let nodes: [SchedulerNode]
  var timeRange: ClosedRange<Double> { 0...Double(nodes.count - 1) }

  subscript(_ time: Double) -> SchedulerNode { nodes[Int(time)] }

  func alpha<S: Elementary>(_ t: S) -> S { S(self[t.magnitude].kernel.alpha) }
  func sigma<S: Elementary>(_ t: S) -> S { S(self[t.magnitude].kernel.sigma) }
}
