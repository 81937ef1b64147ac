import Scorefield

/// A schedule as the command line names it: `name` or `name:key=value,…`.
struct ScheduleInput {
  let text: String
  let named: ScheduleDescription
  let schedule: any NoiseSchedule

  static let names = ScheduleDescription.names

  init(_ text: String) throws(Failure) {
    self.text = text
    let parsed = try OptionValue(text, of: "--schedule")
    var named = ScheduleDescription(parsed.name)
    if let parameters = ScheduleDescription.parameters(of: parsed.name) {
      let values = try parsed.numbers(parameters)
      named.parameters = Dictionary(uniqueKeysWithValues: zip(parameters.map(\.key), values))
    }
    self.named = named
    do throws(ScheduleDescription.Problem) {
      schedule = try named.schedule()
    } catch {
      throw .option("--schedule", error.problem, repair: error.repair)
    }
  }

  /// The schedule a checkpoint brings.
  init(_ named: ScheduleDescription, _ schedule: any NoiseSchedule) {
    let values = named.parameters.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    text = values.isEmpty ? named.name : "\(named.name):\(values.joined(separator: ","))"
    (self.named, self.schedule) = (named, schedule)
  }

  /// Whether another one is the same, whatever of it was said.
  func isSame(as other: ScheduleInput) -> Bool {
    func values(_ named: ScheduleDescription) -> [Double] {
      (ScheduleDescription.parameters(of: named.name) ?? []).map { named.parameters[$0.key] ?? $0.standard }
    }
    return named.name == other.named.name && values(named) == values(other.named)
  }

  /// The same, down to a noise-to-signal ratio below its range, where its formulas reach that.
  func continued(downTo ratio: Double) -> ScheduleInput {
    let first = schedule.kernel(at: schedule.timeRange.lowerBound).noiseToSignal
    guard ratio < first, let more = ContinuedSchedule(schedule, downToNoiseToSignal: ratio) else { return self }
    return ScheduleInput(text, named, more)
  }

  /// The schedule of a diffusers scheduler.
  init(_ configuration: SchedulerConfiguration) {
    self.init(configuration.className, ScheduleDescription(configuration.className), configuration.schedule)
  }

  private init(_ text: String, _ named: ScheduleDescription, _ schedule: any NoiseSchedule) {
    (self.text, self.named, self.schedule) = (text, named, schedule)
  }

  /// A time in the schedule's range.
  func time(_ t: Double, option: String) throws(Failure) -> Double {
    let range = schedule.timeRange
    guard range.contains(t) else {
      throw .option(
        option, "\(t) is outside \(range.lowerBound)…\(range.upperBound), the times of '\(text)'",
        repair: "choose a time in that range")
    }
    return t
  }

  /// The time at which `σ/α` has a value.
  func time(atRatio ratio: Double, option: String) throws(Failure) -> Double {
    let range = schedule.timeRange
    let (low, high) = (
      schedule.kernel(at: range.lowerBound).noiseToSignal, schedule.kernel(at: range.upperBound).noiseToSignal
    )
    // What was rounded for print is still the end.
    if abs(ratio - low) <= 1e-12 * low { return range.lowerBound }
    if abs(ratio - high) <= 1e-12 * high { return range.upperBound }
    guard ratio > low, ratio < high else {
      throw .option(
        option,
        "\(ratio) is outside \(significant(low, 6))…\(significant(high, 6)), the noise-to-signal ratios of '\(text)'",
        repair: "choose a ratio in that range")
    }
    return schedule.time(atNoiseToSignal: ratio)
  }
}
