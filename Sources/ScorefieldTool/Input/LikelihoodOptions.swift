import Scorefield

extension LikelihoodSolver {
  /// The solver `--solver` names.
  init(_ text: String) throws(Failure) {
    let value = try OptionValue(text, of: "--solver")
    switch value.name {
    case "dopri5":
      let tolerances = try value.numbers([("rtol", 1e-5), ("atol", 1e-5)])
      self = .dopri5(rtol: try Self.tolerance(tolerances[0], "rtol"), atol: try Self.tolerance(tolerances[1], "atol"))
    case "rk4": self = .rungeKutta(.rk4, steps: try value.count(standard: 50))
    case "heun": self = .rungeKutta(.heun, steps: try value.count(standard: 50))
    case "euler": self = .rungeKutta(.euler, steps: try value.count(standard: 100))
    default:
      throw .option(
        "--solver", "'\(value.name)' is no solver of likelihoods",
        repair: "use dopri5:rtol=1e-5,atol=1e-5, rk4:n, heun:n or euler:n")
    }
  }

  /// How many steps it takes, as far as that is fixed.
  var fixedSteps: Int {
    if case .rungeKutta(_, let steps) = self { steps } else { 1 }
  }

  static func tolerance(_ value: Double, _ name: String) throws(Failure) -> Double {
    guard value > 0, value < 1 else {
      throw .option("--solver", "\(name) \(value) is no tolerance", repair: "give a number between 0 and 1")
    }
    return value
  }
}

extension Dequantization {
  /// The dequantisation `--dequantize` names.
  init(_ text: String) throws(Failure) {
    let value = try OptionValue(text, of: "--dequantize")
    switch value.name {
    case "none":
      try value.alone()
      self = .none
    case "uniform": self = .uniform(draws: try value.count(standard: 1))
    case "truncated-normal": self = .truncatedNormal(draws: try value.count(standard: 1))
    default:
      throw .option(
        "--dequantize", "'\(value.name)' is no dequantisation", repair: "use none, uniform:k or truncated-normal:k")
    }
  }
}

/// The ends of a likelihood or a sampler where nothing is said: near the data, and the noisiest time of the schedule.
struct TimeEnds {
  let data, noise: Double

  init(of schedule: any NoiseSchedule) {
    let range = schedule.timeRange
    // Karras et al. start and end at their own noise levels.
    if schedule is EDMSchedule {
      (data, noise) = (0.002, 80)
    } else {
      (data, noise) = (range.contains(1e-3) ? 1e-3 : range.lowerBound, range.upperBound)
    }
  }

  /// All times of a schedule.
  init(allOf schedule: any NoiseSchedule) {
    (data, noise) = (schedule.timeRange.lowerBound, schedule.timeRange.upperBound)
  }

  /// The times that a sampler runs between, from the noise down to the data: as they are said, or these.
  func span(from: Double?, to: Double?, on schedule: ScheduleInput) throws(Failure) -> (from: Double, to: Double) {
    let from = try schedule.time(from ?? noise, option: "--from")
    let to = try schedule.time(to ?? data, option: "--to")
    guard from > to else {
      throw .option("--from", "\(from) is not after --to \(to)", repair: "run from the noise down to the data")
    }
    return (from, to)
  }

  /// The times of a sampler that may also run from the data up to the noise, where both ends are said.
  func span(
    from: Double?, to: Double?, on schedule: ScheduleInput, with solver: SamplerInput
  ) throws(Failure) -> (from: Double, to: Double) {
    guard let from, let to, from < to else { return try span(from: from, to: to, on: schedule) }
    try solver.checkEncoding()
    return (try schedule.time(from, option: "--from"), try schedule.time(to, option: "--to"))
  }

  /// Refuses ends between which so many steps are not to be told apart.
  static func check(_ from: Double, _ to: Double, on schedule: any NoiseSchedule, steps: Int) throws(Failure) {
    let ratios = (schedule.kernel(at: from).halfLogSNR, schedule.kernel(at: to).halfLogSNR)
    guard abs(from - to) > 1e-12 * Double(steps) * max(from, to), abs(ratios.0 - ratios.1) > 1e-8 * Double(steps) else {
      throw .option(
        "--from", "\(from) is too close to --to \(to) for \(steps) steps",
        repair: "choose times farther apart or fewer steps")
    }
  }
}
