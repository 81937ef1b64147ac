import ScorefieldPaths
import ScorefieldTensorCore

/// The states of a solver at the times of a grid, the start first, computed as they are asked for.
///
///     for point in Trajectory(from: noise, along: grid, with: .heun, in: flow) { print(point.time) }
///
/// Every iteration starts anew.
public struct Trajectory<S: Solver>: Sequence {
  public let start: Tensor
  public let grid: TimeGrid
  public let solver: S
  public let field: S.Field

  /// The trajectory from a state at the grid's first time.
  ///
  /// - Parameters:
  ///   - start: The first state, shape `[B, …]`.
  ///   - grid: The times, in the order they are visited.
  ///   - solver: The method.
  ///   - field: What is solved.
  public init(from start: Tensor, along grid: TimeGrid, with solver: S, in field: S.Field) {
    (self.start, self.grid, self.solver, self.field) = (start, grid, solver, field)
  }

  /// A state and its time.
  public struct Point: Sendable {
    public let time: Double
    /// Shape `[B, …]`.
    public let state: Tensor
  }

  public func makeIterator() -> Iterator { Iterator(self) }

  public struct Iterator: IteratorProtocol {
    private let trajectory: Trajectory
    private var visited = 0
    private var state: Tensor
    private var memory: S.Memory

    fileprivate init(_ trajectory: Trajectory) {
      (self.trajectory, state, memory) = (trajectory, trajectory.start, trajectory.solver.makeMemory())
    }

    /// How the steps so far went.
    public var outcome: Outcome { trajectory.solver.outcome(memory) }

    public mutating func next() -> Point? {
      let times = trajectory.grid.times
      guard visited < times.count else { return nil }
      if visited > 0 {
        state = trajectory.solver.step(
          state, from: times[visited - 1], to: times[visited], in: trajectory.field, memory: &memory)
      }
      visited += 1
      return Point(time: times[visited - 1], state: state)
    }
  }
}

/// The state at the end of a grid.
///
/// - Parameters:
///   - start: The state at the grid's first time, shape `[B, …]`.
///   - grid: The times, in the order they are visited.
///   - solver: The method.
///   - field: What is solved.
/// - Returns: The state at the grid's last time, shape `[B, …]`.
public func integrate<S: Solver>(
  _ start: Tensor, along grid: TimeGrid, with solver: S, in field: S.Field
) -> Tensor {
  var state = start
  for point in Trajectory(from: start, along: grid, with: solver, in: field) { state = point.state }
  return state
}

/// The state at the end of a grid, from what a method remembers to what it remembers then.
///
/// - Parameters:
///   - start: The state at the grid's first time, shape `[B, …]`.
///   - grid: The times, in the order they are visited.
///   - solver: The method.
///   - field: What is solved.
///   - memory: The method's memory; methods that can be undone need it for the way back.
/// - Returns: The state at the grid's last time, shape `[B, …]`.
public func integrate<S: Solver>(
  _ start: Tensor, along grid: TimeGrid, with solver: S, in field: S.Field, memory: inout S.Memory
) -> Tensor {
  zip(grid.times, grid.times.dropFirst()).reduce(start) { state, times in
    solver.step(state, from: times.0, to: times.1, in: field, memory: &memory)
  }
}
