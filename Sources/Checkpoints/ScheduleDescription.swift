import ScorefieldPaths

/// A noise schedule by name and numbers, as a file or a command line holds it.
public struct ScheduleDescription: Codable, Sendable, Equatable {
  public var name: String
  /// What is said of its parameters; the rest have their standard values.
  public var parameters: [String: Double]

  public init(_ name: String, _ parameters: [String: Double] = [:]) {
    (self.name, self.parameters) = (name, parameters)
  }

  /// Why a name or a number makes no schedule.
  public struct Problem: Error, Equatable {
    public let problem, repair: String
  }

  /// A family of schedules: its parameters with their standard values, and how they make one.
  private struct Family: Sendable {
    let name: String
    let parameters: [(key: String, standard: Double)]
    let make: @Sendable ([Double]) throws(Problem) -> any NoiseSchedule
  }

  private static let families = [
    Family(name: "vp", parameters: [("beta-min", 0.1), ("beta-max", 20)]) { values throws(Problem) in
      try checkRates(values)
      return VariancePreserving(betaMin: values[0], betaMax: values[1])
    },
    Family(name: "subvp", parameters: [("beta-min", 0.1), ("beta-max", 20)]) { values throws(Problem) in
      try checkRates(values)
      return SubVariancePreserving(betaMin: values[0], betaMax: values[1])
    },
    Family(name: "ve", parameters: []) { _ in .varianceExploding },
    Family(name: "ve-geometric", parameters: [("sigma-min", 0.01), ("sigma-max", 50)]) { values throws(Problem) in
      guard values[0] >= 1e-9, values[1] > values[0] * 1.001, values[1] <= 1e9 else {
        throw Problem(
          problem: "sigma-min \(values[0]) and sigma-max \(values[1]) are no noise levels",
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

  /// The names there are.
  public static let names = families.map(\.name)

  /// The parameters of a name with their standard values, in order; nil where there is no such schedule.
  public static func parameters(of name: String) -> [(key: String, standard: Double)]? {
    families.first { $0.name == name }?.parameters
  }

  /// The schedule itself.
  ///
  /// - Returns: The schedule.
  /// - Throws: Where there is no such name or parameter, or a number is none it can have.
  public func schedule() throws(Problem) -> any NoiseSchedule {
    guard let family = Self.families.first(where: { $0.name == name }) else {
      throw Problem(problem: "'\(name)' is no schedule", repair: "use one of \(Self.names.joined(separator: ", "))")
    }
    for key in parameters.keys.sorted() where !family.parameters.contains(where: { $0.key == key }) {
      let known =
        family.parameters.isEmpty ? "takes none" : "has \(family.parameters.map(\.key).joined(separator: ", "))"
      throw Problem(problem: "'\(key)' is no parameter of '\(name)'", repair: "'\(name)' \(known)")
    }
    return try family.make(family.parameters.map { parameters[$0.key] ?? $0.standard })
  }

  private static func checkRates(_ values: [Double]) throws(Problem) {
    guard values[0] >= 0, values[1] >= 1e-6, values[1] >= values[0], values[1] <= 1e3 else {
      throw Problem(
        problem: "beta-min \(values[0]) and beta-max \(values[1]) are no rates",
        repair: "use 0 ≤ beta-min ≤ beta-max, and beta-max from 1e-6 to 1e3")
    }
  }
}
