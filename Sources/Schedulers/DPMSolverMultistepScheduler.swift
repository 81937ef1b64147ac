import RealModule
import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers

/// DPM-Solver and DPM-Solver++ in multistep form, of the flow or of the reverse SDE.
struct DPMSolverMultistepScheduler: DiffusersScheduler {
  static let className = "DPMSolverMultistepScheduler"
  let way: HalfLogSNRWay
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
    if usesLogarithmsOfTable, way.levels.spacing == nil {
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

/// What the files of DPM-Solver say of the method.
struct DPMSolverSettings: Sendable {
  let algorithm: DPMSolverAlgorithm
  let completion: DPMSolverAlgorithm.Completion
  let order: Int
  let end: HalfLogSNRWay.End

  init(
    _ file: inout SchedulerFile, among algorithms: [DPMSolverAlgorithm]
  ) throws(ArrayFileError) {
    algorithm = try file.choice("algorithm_type", .data, among: algorithms, aliases: ["deis": .data])
    completion = try file.choice(
      "solver_type", .midpoint, among: [.midpoint, .heun],
      aliases: ["logrho": .midpoint, "bh1": .midpoint, "bh2": .midpoint])
    order = try file.count("solver_order", 2, in: 1...3)
    end = try file.choice("final_sigmas_type", .zero, among: [.zero, .smallest])
    if !algorithm.predictsData, end == .zero {
      throw file.refusal(
        "algorithm_type", "has no step to a last level of zero", repair: "use 'final_sigmas_type' = 'sigma_min'")
    }
    // A learned variance would be further channels of the model's answer.
    try file.requireNothing(
      "variance_type", because: "is not read here", repair: "use a model that predicts no variance, and null")
  }
}
