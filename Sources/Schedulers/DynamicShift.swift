import RealModule
import ScorefieldArrays

/// How far levels of the straight path are shifted where the file leaves that to the size of the image, by a number `μ`.
enum DynamicShift: String, Sendable {
  /// By `e^μ`.
  case exponential
  /// By `μ`.
  case linear

  /// What a file asks for, or nil where its shift is fixed.
  init?(_ file: inout SchedulerFile, among kinds: [DynamicShift]) throws(ArrayFileError) {
    let kind = try file.choice("time_shift_type", .exponential, among: kinds)
    guard try file.flag("use_dynamic_shifting", false) else { return nil }
    self = kind
  }

  /// The shift of a `μ`, or nil where that is none.
  func factor(_ mu: Double) -> Double? {
    let factor = self == .exponential ? Double.exp(mu) : mu
    return (1e-6...1e6).contains(factor) ? factor : nil
  }
}
