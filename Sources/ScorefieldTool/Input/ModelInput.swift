import Scorefield

/// What `--model` names: a data set or a mixture of Gaussians, whose field is exact.
struct ModelInput {
  let path: String
  private let content: Content

  private enum Content {
    case points(ArrayInput)
    case mixture(Bytes)
  }

  /// Reads the model, as far as that needs no engine.
  init(_ path: String) throws {
    self.path = path
    content =
      ArrayOutput.fileExtension(of: path) == "json"
      ? .mixture(try Bytes(mapping: path)) : .points(try ArrayInput(path))
  }

  /// The model's field on a schedule.
  ///
  /// - Parameters:
  ///   - schedule: How its data become noise.
  ///   - type: The element type of everything.
  ///   - levels: The grey levels of integer data.
  /// - Returns: The field and what is known of the data.
  /// - Throws: Where the file holds no model.
  func loaded(on schedule: any NoiseSchedule, type: ElementType, levels: Int) throws -> LoadedModel {
    switch content {
    case .points(let input):
      let data = try input.data(type, levels: levels)
      return LoadedModel(path: path, field: EmpiricalDenoiser(data: data, on: schedule), points: data)
    case .mixture(let bytes):
      let mixture = try GaussianMixture(json: bytes, name: path)
      return LoadedModel(
        path: path, field: GaussianMixtureDenoiser(mixture, on: schedule), points: nil, dimension: mixture.dimension)
    }
  }
}

/// A model whose field is exact.
struct LoadedModel {
  let path: String
  let field: any ExactField
  /// The data set, where that is the model.
  let points: Tensor?
  /// The shape of one sample.
  let sampleShape: [Int]

  init(path: String, field: any ExactField, points: Tensor?, dimension: Int = 0) {
    (self.path, self.field, self.points) = (path, field, points)
    sampleShape = points.map { Array($0.shape.dropFirst()) } ?? [dimension]
  }

  /// Samples in the model's own shape, or as vectors where the model's are not or the other way around: axes in another
  /// order are no such samples.
  func accepts(_ input: ArrayInput) throws(Failure) {
    let own = Array(input.array.shape.dropFirst())
    let isVector = own.count <= 1 || sampleShape.count <= 1
    guard own == sampleShape || isVector && own.reduce(1, *) == sampleShape.reduce(1, *) else {
      throw Failure(
        .badData, input.path, "holds samples of shape \(own), the model of shape \(sampleShape)",
        repair: "give arrays that belong together")
    }
  }

  /// The median distance from a data point to the next one, over at most 256 points; nil where there is only one.
  var spacing: Double? {
    guard let points, points.batch > 1 else { return nil }
    let rows = points.flattened
    let step = max(1, rows.batch / 256)
    let some = rows.selecting(Tensor(Array(stride(from: 0, to: rows.batch, by: step).prefix(256))))
    // The nearest is the point itself.
    return some.distances(to: rows).top(2, largest: false).values[Axis.all, 1].quantile(0.5).item
  }
}
