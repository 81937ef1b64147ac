import Scorefield

/// How the times of a sampler are spread, as `--grid` names it.
struct GridInput {
  private enum Kind {
    case uniformTime, uniformHalfLogSNR
    case karras(Double)
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

  func grid(_ steps: Int, over schedule: any NoiseSchedule, from: Double, to: Double) throws(Failure) -> TimeGrid {
    try TimeEnds.check(from, to, on: schedule, steps: steps)
    switch kind {
    case .uniformTime: return .uniform(steps, over: schedule, from: from, to: to)
    case .uniformHalfLogSNR: return .uniformHalfLogSNR(steps, over: schedule, from: from, to: to)
    case .karras(let rho): return .karras(steps, over: schedule, rho: rho, from: from, to: to)
    }
  }
}
