import ScorefieldTensorCore

/// The memory of a method of two steps that is undone by going back: the state before.
///
/// A step to the time of that state returns it, and from there on the same method runs the other way.
public struct TurningMemory: Sendable {
  public internal(set) var previous: (time: Double, state: Tensor)?

  /// The state before, where this step leads back to it; else nothing.
  mutating func turn(_ x: Tensor, from t: Double, to s: Double) -> Tensor? {
    guard let back = previous, back.time == s else { return nil }
    previous = (t, x)
    return back.state
  }
}
