import RealModule
import ScorefieldPaths

/// What a timestep is, to a model that knows a schedule: a time, and the scale of its input there.
enum ModelClock: Sendable {
  /// The index of a training step.
  case index(NoiseTable)
  /// A multiple of `σ` on the straight path, or of `α`.
  case flow(Int, isInverted: Bool = false)
  /// A multiple of `log σ` of `x/α`, whose input is divided by `√(σ² + σ_d²)`.
  case logarithm(Double, sigmaData: Double)

  var schedule: any NoiseSchedule {
    switch self {
    case .index(let table): table.schedule
    case .flow: .flowMatching
    case .logarithm: .edm
    }
  }

  /// The time of a schedule, and what an input there has to be multiplied by.
  func place(_ timestep: Double, on schedule: any NoiseSchedule) -> (time: Double, scale: Double) {
    func inRange(_ time: Double) -> Double {
      Swift.min(Swift.max(time, schedule.timeRange.lowerBound), schedule.timeRange.upperBound)
    }
    switch self {
    case .index: return (inRange(timestep), 1)
    case .flow(let count, let isInverted):
      let sigma = timestep / Double(count)
      return (inRange(isInverted ? 1 - sigma : sigma), 1)
    case .logarithm(let factor, let sigmaData):
      let sigma = Double.exp(timestep / factor)
      return (inRange(sigma), (sigma * sigma + sigmaData * sigmaData).squareRoot())
    }
  }
}
