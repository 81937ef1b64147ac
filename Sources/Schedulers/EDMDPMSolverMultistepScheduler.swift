import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers

/// DPM-Solver++ in multistep form for EDM's networks.
struct EDMDPMSolverMultistepScheduler: DiffusersScheduler {
  static let className = "EDMDPMSolverMultistepScheduler"
  let way: EDMWay
  let limit: EstimateLimit
  let algorithm: DPMSolverAlgorithm
  let completion: DPMSolverAlgorithm.Completion
  let orders: MultistepOrders

  init(_ file: inout SchedulerFile) throws(ArrayFileError) {
    way = try EDMWay(&file)
    limit = try EstimateLimit(&file, clips: nil)
    algorithm = try file.choice("algorithm_type", .data, among: [.data, .dataSDE], aliases: ["deis": .data])
    completion = try file.choice(
      "solver_type", .midpoint, among: [.midpoint, .heun],
      aliases: ["logrho": .midpoint, "bh1": .midpoint, "bh2": .midpoint])
    let order = try file.count("solver_order", 2, in: 1...3)
    if order == 3, algorithm == .dataSDE {
      throw file.refusal("solver_order", "is not there for 'sde-dpmsolver++'", repair: "use 1 or 2, or 'dpmsolver++'")
    }
    let endsWithEuler = try file.flag("euler_at_final", false)
    orders = MultistepOrders(
      order: order, isLowAtEnd: try file.flag("lower_order_final", true),
      endsWithEuler: endsWithEuler || way.end == .zero)
  }

  var head: Head { way.head }
  var clock: ModelClock { way.clock }
  var steps: ClosedRange<Int> { 1...100_000 }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    let (algorithm, completion, orders) = (algorithm, completion, orders(steps))
    return SamplingPlan(along: way.nodes(steps), startScale: way.startScale) {
      MultistepDPMSolver(algorithm: algorithm, completion: completion, orders: orders, noise: $0)
    }
  }
}
