import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// Euler's method on the straight path, which is ``DDIM``; or with all of the noise fresh.
struct FlowMatchEulerDiscreteScheduler: DiffusersScheduler {
  static let className = "FlowMatchEulerDiscreteScheduler"
  let way: StraightWay
  let levels: SigmaSpacing.Choice
  let lastLevel: Double?
  let isStochastic: Bool

  init(_ file: inout SchedulerFile) throws(ArrayFileError) {
    way = try StraightWay(&file)
    levels = try SigmaSpacing.Choice(&file)
    let last = try file.number("shift_terminal", 0, in: 0...0.999_999)
    lastLevel = last == 0 ? nil : last
    isStochastic = try file.flag("stochastic_sampling", false)
    try file.require(
      "use_dynamic_shifting", false, because: "needs the size of an image", repair: "use a fixed 'shift' instead")
    try file.require("invert_sigmas", false, because: "is for models of the other direction", repair: "use false")
    file.ignore(
      "base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len", "time_shift_type")
  }

  var head: Head { .velocity }
  var clock: ModelClock { .flow(way.count) }
  var steps: ClosedRange<Int> { 1...100_000 }

  func plan(_ steps: Int, eta: Double) -> SamplingPlan {
    var sigmas = way.sigmas(steps)
    if let lastLevel { sigmas = stretched(sigmas, to: lastLevel) }
    sigmas = levels.levels(steps, from: sigmas[0], to: sigmas[steps - 1]) ?? sigmas
    let isStochastic = isStochastic
    return SamplingPlan(along: way.nodes(sigmas)) { noise in
      guard isStochastic else { return OnNodes(DDIM()) }
      return OnNodes(StochasticDDIM(noise: noise) { _, next in next.sigma })
    }
  }
}
