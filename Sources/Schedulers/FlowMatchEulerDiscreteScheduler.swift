import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// Euler's method on the straight path, which is ``DDIM``; or with all of the noise fresh.
struct FlowMatchEulerDiscreteScheduler: DiffusersScheduler {
  static let className = "FlowMatchEulerDiscreteScheduler"
  var way: StraightWay
  let shiftKind: DynamicShift?
  let levels: SigmaSpacing.Choice
  let lastLevel: Double?
  let isStochastic: Bool

  init(_ file: inout SchedulerFile) throws(ArrayFileError) {
    shiftKind = try DynamicShift(&file, among: [.exponential, .linear])
    way = try StraightWay(&file, isDynamic: shiftKind != nil)
    levels = try SigmaSpacing.Choice(&file)
    let last = try file.number("shift_terminal", 0, in: 0...0.999_999)
    lastLevel = last == 0 ? nil : last
    isStochastic = try file.flag("stochastic_sampling", false)
    way.isInverted = try file.flag("invert_sigmas", false)
    if way.isInverted, isStochastic {
      throw file.refusal(
        "invert_sigmas", "takes the noise for the data in 'stochastic_sampling'", repair: "use one of them")
    }
    // What pipelines make the shift of an image of.
    file.ignore("base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len")
  }

  var head: Head { way.isInverted ? Head.velocity.negated : .velocity }
  var clock: ModelClock { .flow(way.count, isInverted: way.isInverted) }
  var steps: ClosedRange<Int> { 1...100_000 }
  var needsShift: Bool { shiftKind != nil }

  func dynamicallyShifted(by mu: Double) -> Self? {
    guard let shift = shiftKind?.factor(mu) else { return nil }
    var copy = self
    copy.way.shift = shift
    return copy
  }

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
