import Scorefield

/// A schedule as the command line names it: `name` or `name:key=value,…`.
struct ScheduleInput {
  let text: String
  let schedule: any NoiseSchedule

  /// A family of schedules: its parameters with their defaults, and how they make one.
  private struct Family: Sendable {
    let name: String
    let parameters: [(key: String, standard: Double)]
    let make: @Sendable ([Double]) throws(Failure) -> any NoiseSchedule
  }

  private static let families = [
    Family(name: "vp", parameters: [("beta-min", 0.1), ("beta-max", 20)]) { values throws(Failure) in
      try checkRates(values)
      return VariancePreserving(betaMin: values[0], betaMax: values[1])
    },
    Family(name: "subvp", parameters: [("beta-min", 0.1), ("beta-max", 20)]) { values throws(Failure) in
      try checkRates(values)
      return SubVariancePreserving(betaMin: values[0], betaMax: values[1])
    },
    Family(name: "ve", parameters: []) { _ in .varianceExploding },
    Family(name: "ve-geometric", parameters: [("sigma-min", 0.01), ("sigma-max", 50)]) { values throws(Failure) in
      guard values[0] >= 1e-9, values[1] > values[0] * 1.001, values[1] <= 1e9 else {
        throw .option(
          "--schedule", "sigma-min \(values[0]) and sigma-max \(values[1]) are no noise levels",
          repair: "use 1e-9 ≤ sigma-min < sigma-max ≤ 1e9")
      }
      return GeometricVarianceExploding(sigmaMin: values[0], sigmaMax: values[1])
    },
    Family(name: "edm", parameters: []) { _ in .edm },
    Family(name: "flow", parameters: []) { _ in .flowMatching },
    Family(name: "trig", parameters: []) { _ in .trigonometric },
    Family(name: "scaled-linear", parameters: []) { _ in .stableDiffusion },
    Family(name: "ddpm-linear", parameters: []) { _ in .linearDDPM },
    Family(name: "ddpm-cosine", parameters: []) { _ in .cosineDDPM },
  ]

  static let names = families.map(\.name)

  init(_ text: String) throws(Failure) {
    self.text = text
    let parsed = try OptionValue(text, of: "--schedule")
    guard let family = Self.families.first(where: { $0.name == parsed.name }) else {
      throw .option(
        "--schedule", "'\(parsed.name)' is no schedule", repair: "use one of \(Self.names.joined(separator: ", "))")
    }
    schedule = try family.make(parsed.numbers(family.parameters))
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

  private static func checkRates(_ values: [Double]) throws(Failure) {
    guard values[0] >= 0, values[1] >= 1e-6, values[1] >= values[0], values[1] <= 1e3 else {
      throw .option(
        "--schedule", "beta-min \(values[0]) and beta-max \(values[1]) are no rates",
        repair: "use 0 ≤ beta-min ≤ beta-max, and beta-max from 1e-6 to 1e3")
    }
  }
}
