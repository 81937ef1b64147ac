import Scorefield

/// What `--model` names: a data set or a mixture of Gaussians, whose field is exact, or a trained model.
struct ModelInput {
  let path: String
  /// How its data become noise: as the command line says, or as it was trained.
  private(set) var schedule: ScheduleInput
  private let content: Content
  private let label: Int?
  /// What is known of the samples, one row or one for each of them.
  private let condition: ArrayInput?

  private enum Content {
    case points(ArrayInput)
    case mixture(Bytes)
    case trained(CheckpointFolder, ModelConfiguration)
  }

  /// Reads the model, as far as that needs no engine.
  init(_ choice: ModelOptions) throws {
    path = choice.model
    label = choice.label
    let folder = CheckpointFolder(path)
    if folder.hasConfiguration {
      let configuration = try folder.readModelConfiguration()
      content = .trained(folder, configuration)
      let own: ScheduleInput
      do throws(ScheduleDescription.Problem) {
        own = ScheduleInput(configuration.schedule, try configuration.schedule.schedule())
      } catch {
        throw Failure(.badData, folder.configurationPath, error.problem, repair: error.repair)
      }
      schedule = own
      if let given = try choice.schedule.map({ text throws(Failure) in try ScheduleInput(text) }),
        !given.isSame(as: own)
      {
        throw Failure.option(
          "--schedule", "\(path) was trained on '\(own.text)'", repair: "leave --schedule out")
      }
      if let label = choice.label, !(0..<(configuration.classes ?? 0)).contains(label) {
        let vectors = configuration.network.conditionWidth > 0 ? "give a vector with --condition" : "leave --class out"
        throw Failure.option(
          "--class", "\(label) is no class of \(path)",
          repair: configuration.classes.map { "give a number from 0 to \($0 - 1)" } ?? vectors)
      }
      let path = path
      condition = try choice.condition.map { try Self.condition($0, of: configuration, path: path) }
      guard label == nil || condition == nil else {
        throw Failure.option("--class", "and --condition are both given", repair: "give one of them")
      }
      return
    }
    guard label == nil else {
      throw Failure.option("--class", "\(path) knows no classes", repair: "leave --class out")
    }
    guard choice.condition == nil else {
      throw Failure.option("--condition", "\(path) knows no conditions", repair: "leave --condition out")
    }
    condition = nil
    guard let text = choice.schedule else {
      throw Failure.option(
        "--schedule", "is missing, and \(path) is no trained model that brings one",
        repair: "use one of \(ScheduleInput.names.joined(separator: ", "))")
    }
    schedule = try ScheduleInput(text)
    content =
      ArrayOutput.fileExtension(of: path) == "json"
      ? .mixture(try Bytes(mapping: path)) : .points(try ArrayInput(path))
  }

  /// A condition of the length that a model was trained with.
  private static func condition(
    _ file: String, of configuration: ModelConfiguration, path: String
  ) throws -> ArrayInput {
    let width = configuration.network.conditionWidth
    guard width > 0 else {
      throw Failure.option("--condition", "\(path) knows no conditions", repair: "leave --condition out")
    }
    let input = try ArrayInput(file)
    guard input.array.shape.count == 2, input.array.shape[1] == width else {
      throw Failure(
        .badData, file, "has shape \(input.array.shape), and \(path) was trained with vectors of length \(width)",
        repair: "give shape [1, \(width)] or [B, \(width)]")
    }
    return input
  }

  /// Refuses a condition that does not fit a number of samples, or, where that is nil, one that is not for all of them.
  func checkCondition(for samples: Int?) throws(Failure) {
    guard let condition, case let rows = condition.array.shape[0], rows != 1, rows != samples else { return }
    throw Failure(
      .badData, condition.path,
      "has \(rows) rows, and there \(samples.map { "are \($0) samples" } ?? "can be one here")",
      repair: "give one row\(samples.map { _ in ", or one for each sample" } ?? "")")
  }

  /// Lets an exact field be asked below the first of its schedule's times, where formulas go on.
  mutating func continueSchedule(downTo ratio: Double) {
    if case .trained = content { return }
    schedule = schedule.continued(downTo: ratio)
  }

  /// The grey levels it was trained on.
  var levels: Int? {
    if case .trained(_, let configuration) = content { configuration.levels } else { nil }
  }

  /// The model's field.
  ///
  /// - Parameters:
  ///   - type: The element type of everything; nil for `float64` of exact fields and the network's own of others.
  ///   - levels: The grey levels of integer data.
  /// - Returns: The field and what is known of the data.
  /// - Throws: Where the file holds no model.
  func loaded(type: ElementType?, levels: Int) throws -> LoadedModel {
    let schedule = schedule.schedule
    switch content {
    case .points(let input):
      let data = try input.data(type ?? .float64, levels: levels)
      let field = EmpiricalDenoiser(data: data, on: schedule)
      return LoadedModel(
        path: path, type: type ?? .float64, denoiser: field, field: field, points: data,
        sampleShape: Array(data.shape.dropFirst()))
    case .mixture(let bytes):
      let mixture = try GaussianMixture(json: bytes, name: path)
      let field = GaussianMixtureDenoiser(mixture, on: schedule)
      return LoadedModel(
        path: path, type: type ?? .float64, denoiser: field, field: field, sampleShape: [mixture.dimension])
    case .trained(let folder, let configuration):
      let condition =
        try condition?.values(type ?? .float32)
        ?? configuration.classes.flatMap { classes in label.map { Tensor([$0]).oneHot(classes) } }
      var model = try TrainedModel(configuration, from: folder).conditioned(on: condition)
      if let type { model = model.mapParameters { $0.to(type) } }
      return LoadedModel(
        path: path, type: type ?? model.parameters.first?.elementType ?? .float32, denoiser: model.denoiser,
        traced: model.traced, form: configuration.trace,
        sampleShape: configuration.sampleShape)
    }
  }
}

/// A model that is ready to be asked.
struct LoadedModel {
  let path: String
  /// The element type it is asked in.
  let type: ElementType
  let denoiser: any Denoiser
  /// The same, where it is exact.
  var field: (any ExactField)?
  /// The same with its trace head, where it has one, and what that stands for.
  var traced: TraceMatchedDenoiser?
  var form: NamedTraceForm?
  /// The data set, where that is the model.
  var points: Tensor?
  /// The shape of one sample.
  let sampleShape: [Int]

  var dimension: Int { sampleShape.reduce(1, *) }

  /// Samples in the model's own shape, or as vectors where the model's are not or the other way around: axes in another
  /// order are no such samples.
  func accepts(_ input: ArrayInput) throws(Failure) {
    guard !hasChannelsLast(input) else { return }
    let own = Array(input.array.shape.dropFirst())
    let isVector = own.count <= 1 || sampleShape.count <= 1
    guard own == sampleShape || isVector && own.reduce(1, *) == sampleShape.reduce(1, *) else {
      throw Failure(
        .badData, input.path, "holds samples of shape \(own), the model of shape \(sampleShape)",
        repair: "give arrays that belong together")
    }
  }

  /// Whether it is pictures in colour and the model has their channels in front.
  private func hasChannelsLast(_ input: ArrayInput) -> Bool {
    let shape = input.array.shape
    return input.isPicture && shape.count == 4 && sampleShape == [shape[3], shape[1], shape[2]]
  }

  /// The numbers of an input, their axes as the model has them.
  func arranged(_ values: Tensor, of input: ArrayInput) -> Tensor {
    hasChannelsLast(input) ? values.permuted(0, 3, 1, 2) : values
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
