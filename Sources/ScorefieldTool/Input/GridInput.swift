import Scorefield

/// How the times of a sampler are spread, as `--grid` names it.
struct GridInput {
  private enum Kind {
    case uniformTime, uniformHalfLogSNR
    case karras(Double)
    /// Values of `σ/α`.
    case levels([Double])
  }
  private let kind: Kind

  init(_ text: String) throws(Failure) {
    let value = try OptionValue(text, of: "--grid")
    switch value.name {
    case "uniform-time":
      try value.alone()
      kind = .uniformTime
    case "uniform-half-log-snr":
      try value.alone()
      kind = .uniformHalfLogSNR
    case "karras":
      let rho = try value.numbers([("rho", 7)])[0]
      guard (0.5...50).contains(rho) else {
        throw .option("--grid", "rho \(rho) is outside 0.5…50", repair: "write karras:rho=7")
      }
      kind = .karras(rho)
    default:
      throw .option(
        "--grid", "'\(value.name)' is no grid", repair: "use one of uniform-time, uniform-half-log-snr, karras:rho=7")
    }
  }

  /// The grid of a scheduler's levels, which may end at none.
  init(levels: [Double]) { kind = .levels(levels) }

  func grid(_ steps: Int, over schedule: any NoiseSchedule, from: Double, to: Double) throws(Failure) -> TimeGrid {
    try TimeEnds.check(from, to, on: schedule, steps: steps)
    switch kind {
    case .uniformTime: return .uniform(steps, over: schedule, from: from, to: to)
    case .uniformHalfLogSNR: return .uniformHalfLogSNR(steps, over: schedule, from: from, to: to)
    case .levels(let levels):
      let ends = [schedule.timeRange.lowerBound, schedule.timeRange.upperBound].map { schedule.kernel(at: $0) }
      let times = levels.filter { $0 > 0 }.map { level in
        level >= ends[1].noiseToSignal
          ? ends[1].time : level <= ends[0].noiseToSignal ? ends[0].time : schedule.time(atNoiseToSignal: level)
      }
      // Some files name their last level twice.
      let falling = times.indices.filter { $0 == 0 || times[$0] < times[$0 - 1] }.map { times[$0] }
      guard falling.count > 1 else {
        throw .option("--steps", "\(steps) leaves a single time to step from", repair: "use more steps")
      }
      return TimeGrid(falling)
    case .karras(let rho): return .karras(steps, over: schedule, rho: rho, from: from, to: to)
    }
  }
}
