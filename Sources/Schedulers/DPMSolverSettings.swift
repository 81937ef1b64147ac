import ScorefieldArrays

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
