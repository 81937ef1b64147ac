import CScorefieldEngine

/// The threads libtorch computes with.
public enum Threads {
  /// How many threads one operation may use.
  ///
  /// The same count gives the same bits. Between counts, matrix products and sums may differ in the last bits; the
  /// generator does not, nor do the exact fields of points.
  public static var count: Int {
    get { Int(Engine.api.threads()) }
    set {
      guard newValue > 0 else { fatalError("threads: needs at least one, got \(newValue)") }
      Engine.api.set_threads(Int32(newValue))
    }
  }
}
