import RealModule
import ScorefieldPaths

/// The variable in which a method takes what it interpolates for a polynomial.
public enum Clock: Sendable, CaseIterable {
  /// The schedule's own time.
  case time
  /// `λ = log(α/σ)`.
  case halfLogSNR
  /// `κ = σ/α`.
  case noiseToSignal

  func value(_ kernel: PerturbationKernel) -> Double {
    switch self {
    case .time: kernel.time
    case .halfLogSNR: kernel.halfLogSNR
    case .noiseToSignal: kernel.noiseToSignal
    }
  }

  /// The time at which this variable has a value.
  func time(at value: Double, on schedule: any NoiseSchedule) -> Double {
    switch self {
    case .time: value
    case .halfLogSNR: schedule.time(atHalfLogSNR: value)
    case .noiseToSignal: schedule.time(atNoiseToSignal: value)
    }
  }

  func value(atNoiseToSignal ratio: Double, on schedule: any NoiseSchedule) -> Double {
    switch self {
    case .time: schedule.time(atNoiseToSignal: ratio)
    case .halfLogSNR: -.log(ratio)
    case .noiseToSignal: ratio
    }
  }
}
