import ScorefieldArrays
import ScorefieldPaths

/// What the schedulers of the straight path share: shifted levels.
struct StraightWay: Sendable {
  let count: Int
  let shift: Double

  init(_ file: inout SchedulerFile) throws(ArrayFileError) {
    count = try file.count("num_train_timesteps", 1000, in: 2...1_000_000)
    shift = try file.number("shift", 1, in: 1e-6...1e6)
  }

  /// Levels between the first and the last of the training, which are shifted already: and shifted once more, as diffusers does.
  func sigmas(_ steps: Int) -> [Double] {
    let smallest = Double(Float(shifted(1 / Double(count), by: shift)))
    return evenly(from: Double(count), to: smallest * Double(count), steps).map {
      shifted($0 / Double(count), by: shift)
    }
  }

  /// The nodes of levels, and the end.
  func nodes(_ sigmas: [Double]) -> [SchedulerNode] {
    sigmas.map { SchedulerNode($0 * Double(count), .straight($0)) } + [.end(.straight(0))]
  }
}
