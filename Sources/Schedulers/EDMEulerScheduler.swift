import ScorefieldArrays
import ScorefieldFields
import ScorefieldSolvers

/// Euler's method for EDM's networks, which is ``DDIM``.
struct EDMEulerScheduler: DiffusersScheduler {
  static let className = "EDMEulerScheduler"
  let way: EDMWay

  init(_ file: inout SchedulerFile) throws(ArrayFileError) { way = try EDMWay(&file) }

  var head: Head { way.head }
  var clock: ModelClock { way.clock }
  var steps: ClosedRange<Int> { 1...100_000 }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    SamplingPlan(along: way.nodes(steps), startScale: way.startScale) { _ in OnNodes(DDIM()) }
  }
}
