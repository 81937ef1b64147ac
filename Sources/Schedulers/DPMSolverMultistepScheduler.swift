import RealModule
import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers

/// DPM-Solver and DPM-Solver++ in multistep form, of the flow or of the reverse SDE.
struct DPMSolverMultistepScheduler: HalfLogSNRScheduler {
  static let className = "DPMSolverMultistepScheduler"
  var way: HalfLogSNRWay
  let limit: EstimateLimit
  let settings: DPMSolverSettings
  let orders: MultistepOrders
  let usesLogarithmsOfTable, isCosine: Bool

  init(_ file: inout SchedulerFile) throws(ArrayFileError) {
    way = try HalfLogSNRWay(&file, rescalable: true, clips: true)
    limit = try EstimateLimit(&file, clips: nil)
    settings = try DPMSolverSettings(&file, among: [.data, .noise, .dataSDE, .noiseSDE])
    if settings.algorithm == .noiseSDE, settings.order == 3 {
      throw file.refusal(
        "solver_order", "is not there for 'sde-dpmsolver'", repair: "use 1 or 2, or 'sde-dpmsolver++'")
    }
    let endsWithEuler = try file.flag("euler_at_final", false)
    orders = MultistepOrders(
      order: settings.order, isLowAtEnd: try file.flag("lower_order_final", true),
      endsWithEuler: endsWithEuler || settings.end == .zero)
    usesLogarithmsOfTable = try file.flag("use_lu_lambdas", false)
    isCosine =
      try file.choice("beta_schedule", NoiseTable.Shape.linear, among: [.linear, .scaledLinear, .cosine]) == .cosine
  }

  var head: Head { way.prediction.head }
  var clock: ModelClock { way.clock }
  var steps: ClosedRange<Int> { 1...way.table.count }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    var (timesteps, sigmas) = way.grid(steps, roundsKarras: !isCosine)
    // Before exponential and beta levels, behind Karras'.
    if usesLogarithmsOfTable, !way.levels.isKarras {
      let logs = way.table.logSigmas
      sigmas = evenly(from: logs[logs.count - 1], to: logs[0], steps).map { .exp($0) }
      timesteps = sigmas.map { sigma in
        let time = way.table.timestep(of: sigma)
        return (isCosine ? time : time.rounded(.toNearestOrEven)).rounded(.towardZero)
      }
    }
    let last = settings.end == .zero ? 0 : way.table.sigmas[0]
    let nodes = zip(timesteps, sigmas).map { SchedulerNode($0, way.kernel($1)) } + [.end(way.kernel(last))]
    let (settings, orders) = (settings, orders(steps))
    return SamplingPlan(along: nodes) {
      MultistepDPMSolver(
        algorithm: settings.algorithm, completion: settings.completion, orders: orders, noise: $0)
    }
  }
}
