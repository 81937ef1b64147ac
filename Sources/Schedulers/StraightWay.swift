import ScorefieldArrays
import ScorefieldPaths

/// What the schedulers of the straight path share: shifted levels.
struct StraightWay: Sendable {
  let count: Int
  var shift: Double
  /// The shift of the training's own levels.
  let trainedShift: Double
  /// Whether the levels are those of the other direction, from the data to the noise.
  var isInverted = false

  /// The way of a file; where each image has its own shift, the training's levels have none.
  init(_ file: inout SchedulerFile, isDynamic: Bool = false) throws(ArrayFileError) {
    count = try file.count("num_train_timesteps", 1000, in: 2...1_000_000)
    shift = try file.number("shift", 1, in: 1e-6...1e6)
    trainedShift = isDynamic ? 1 : shift
  }

  /// Levels between the first and the last of the training, which are shifted already: and shifted once more, as diffusers does.
  func sigmas(_ steps: Int) -> [Double] {
    let smallest = Double(Float(shifted(1 / Double(count), by: trainedShift)))
    return evenly(from: Double(count), to: smallest * Double(count), steps).map {
      shifted($0 / Double(count), by: shift)
    }
  }

  /// The nodes of levels, and the end.
  func nodes(_ sigmas: [Double]) -> [SchedulerNode] {
    sigmas.map { SchedulerNode((isInverted ? 1 - $0 : $0) * Double(count), .straight($0)) } + [.end(.straight(0))]
  }
}
