import Scorefield

/// What `--model` names, as far as it can be known before a schedule: a data set, whose field is exact.
struct ModelInput {
  let path: String
  private let points: ArrayInput

  init(_ path: String) throws {
    self.path = path
    points = try ArrayInput(path)
  }

  /// The shape of one sample.
  var sampleShape: [Int] { Array(points.array.shape.dropFirst()) }

  /// The model's field on a schedule; samples have the given shape of as many elements.
  func field(
    on schedule: any NoiseSchedule, type: ElementType, levels: Int, samples shape: [Int]
  ) throws -> EmpiricalDenoiser {
    let data = try points.data(type, levels: levels)
    return EmpiricalDenoiser(data: data.reshaped([data.batch] + shape), on: schedule)
  }
}
