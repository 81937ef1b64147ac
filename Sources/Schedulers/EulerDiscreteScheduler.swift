import RealModule
import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers

/// Euler's method for `x/α` in `σ/α`, which is ``DDIM``.
struct EulerDiscreteScheduler: SigmaScheduler {
  static let className = "EulerDiscreteScheduler"

  enum Interpolation: String, Sendable { case linear, logLinear = "log_linear" }
  enum TimestepType: String, Sendable { case discrete, continuous }
  enum End: String, Sendable { case zero, smallest = "sigma_min" }

  let way: SigmaWay
  let interpolation: Interpolation
  let end: End
  let isContinuous: Bool

  init(_ file: inout SchedulerFile) throws(ArrayFileError) {
    way = SigmaWay(
      table: try NoiseTable(&file, rescalable: true, smallest: 0x1p-24),
      spacing: try TimestepSpacing.Choice(&file, .linspace), levels: try SigmaSpacing.Choice(&file, knowsEnds: true),
      prediction: try Prediction(&file, among: [.epsilon, .v, .sample, .originalSample]))
    interpolation = try file.choice("interpolation_type", .linear, among: [.linear, .logLinear])
    end = try file.choice("final_sigmas_type", .zero, among: [.zero, .smallest])
    // Without v, diffusers passes over it.
    isContinuous =
      try file.choice("timestep_type", TimestepType.discrete, among: [.discrete, .continuous]) == .continuous
      && way.prediction == .v
  }

  var clock: ModelClock { isContinuous ? .logarithm(0.25, sigmaData: 1) : .index(way.table) }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    let logs = way.table.logSigmas
    let even = evenly(from: logs[logs.count - 1], to: logs[0], steps + 1).map { Double.exp($0) }
    var (timesteps, sigmas) = way.grid(steps, levels: interpolation == .logLinear ? even : nil)
    var last = end == .zero ? 0 : way.table.sigmas[0]
    // One level more than there are timesteps: it ends at the smallest of the table, whatever is asked for.
    if sigmas.count > steps { last = sigmas.removeLast() }
    if isContinuous { timesteps = sigmas.map { 0.25 * .log($0) } }
    let nodes = zip(timesteps, sigmas).map { SchedulerNode.scaled($0, $1) } + [.end(.exploding(last))]
    return SamplingPlan(along: nodes, startScale: way.startScale(sigmas.max()!)) { _ in OnNodes(DDIM()) }
  }
}
