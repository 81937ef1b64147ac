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
  /// Files beside a data set: the weights and the classes of its rows.
  private let weights, labels: String?

  private enum Content {
    case points(ArrayInput)
    case stored(StoredRows, streams: Bool)
    case mixture(Bytes)
    case trained(CheckpointFolder, ModelConfiguration)
  }

  /// Reads the model, as far as that needs no engine.
  ///
  /// - Parameters:
  ///   - choice: What names it.
  ///   - given: The schedule of a data set or a mixture, where the command line does not name it.
  /// - Throws: Where it cannot be read, or the options do not fit it.
  init(_ choice: ModelOptions, on given: ScheduleInput? = nil) throws {
    path = choice.model
    label = choice.label
    (weights, labels) = (choice.weights, choice.labels)
    let folder = CheckpointFolder(path)
    if folder.hasConfiguration {
      try Self.refuseDataOptions(choice, because: "is a trained model")
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
    guard label == nil || labels != nil else {
      throw Failure.option("--class", "\(path) knows no classes", repair: "leave --class out, or give --labels")
    }
    guard labels == nil || label != nil else {
      throw Failure.option("--labels", "is given without --class", repair: "say which class the data are to be of")
    }
    guard choice.condition == nil else {
      throw Failure.option("--condition", "\(path) knows no conditions", repair: "leave --condition out")
    }
    condition = nil
    guard let schedule = try given ?? choice.schedule.map({ text throws(Failure) in try ScheduleInput(text) }) else {
      // What is not there brings nothing.
      if (try? StoredRows.names(in: path)) == nil { _ = try Bytes(mapping: path) }
      throw Failure.option(
        "--schedule", "is missing, and \(path) is no trained model that brings one",
        repair: "use one of \(ScheduleInput.names.joined(separator: ", "))")
    }
    self.schedule = schedule
    content = try Self.data(choice)
  }

  /// The data set or the mixture that a path names.
  private static func data(_ choice: ModelOptions) throws -> Content {
    let path = choice.model
    let isFolder = StoredRows.isFolderOfShards(path)
    switch ArrayOutput.fileExtension(of: path) {
    case "json" where !isFolder:
      try refuseDataOptions(choice, because: "is a mixture")
      return .mixture(try Bytes(mapping: path))
    case "safetensors", "npy":
      break
    case _ where isFolder: break
    default:
      if let names = try? StoredRows.names(in: path), !names.contains(where: { $0.lowercased().hasSuffix(".png") }) {
        throw Failure(
          .badData, path, "has no .npy, .safetensors or .png files", repair: "give a folder of shards or of pictures")
      }
      guard choice.array == nil, !choice.stream else {
        throw Failure.option(
          choice.stream ? "--stream" : "--array", "\(path) is read at once", repair: "give .npy or .safetensors files")
      }
      return .points(try ArrayInput(path))
    }
    let rows = try StoredRows(path, array: choice.array)
    // In float64, whatever the file has.
    let isLarge = rows.shape.reduce(1, *) > memoryLimit / 8
    let isPlain = ArrayOutput.fileExtension(of: path) == "npy" && !isFolder
    if isPlain, !isLarge, !choice.stream { return .points(try ArrayInput(path)) }
    return .stored(rows, streams: isLarge || choice.stream)
  }

  /// Larger data sets stay on the disk.
  private static let memoryLimit = 1 << 30

  /// Options that only a data set has.
  private static func refuseDataOptions(_ choice: ModelOptions, because reason: String) throws(Failure) {
    let given = [
      ("--array", choice.array != nil), ("--weights", choice.weights != nil), ("--labels", choice.labels != nil),
      ("--stream", choice.stream),
    ]
    if let (option, _) = given.first(where: \.1) {
      throw .option(option, "\(choice.model) \(reason), not a data set", repair: "leave \(option) out")
    }
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

  /// Whether it is a data set of grey levels.
  var isLevels: Bool {
    switch content {
    case .points(let input): input.isLevels
    case .stored(let rows, _): rows.elementType.isInteger
    default: false
    }
  }

  /// What its answers depend on, for a journal.
  func job(of model: LoadedModel, seed: UInt64, levels: Int) -> [(name: String, value: String)] {
    func own(_ path: String) -> String {
      let file = FileIdentity(of: path) ?? FileIdentity(of: "\(path)/model.safetensors")
      return file.map { "\($0.size) \($0.seconds).\($0.nanoseconds)" } ?? "none"
    }
    var job = [
      ("data", model.data?.identity() ?? own(path)), ("schedule", schedule.text), ("dtype", model.type.rawValue),
    ]
    job += [("seed", "\(seed)"), ("levels", "\(levels)"), ("class", label.map(String.init) ?? "none")]
    job += [("weights", weights.map(own) ?? "none"), ("labels", labels.map(own) ?? "none")]
    return job + Journal.entries([("condition", condition)])
  }

  /// What tells the model from others, by the contents of its files.
  ///
  /// - Parameters:
  ///   - model: The model, loaded.
  ///   - levels: The grey levels of integer data.
  /// - Returns: Checksums, one after another.
  /// - Throws: Where a file cannot be read.
  func fingerprint(of model: LoadedModel, levels: Int) throws(ArrayFileError) -> String {
    func checksum(_ bytes: Bytes) -> String {
      var checksum = CRC32C()
      bytes.withUnsafeBytes { checksum.update($0) }
      return String(checksum.value, radix: 16)
    }
    var parts: [String] =
      switch content {
      case .points, .stored: [model.data?.identity() ?? "", "levels \(levels)"]
      case .mixture(let bytes): [checksum(bytes)]
      case .trained: [checksum(try Bytes(mapping: "\(path)/model.safetensors"))]
      }
    if let label { parts.append("class \(label)") }
    if let condition { parts.append("condition \(Journal.checksum(of: condition.array))") }
    for (name, file) in [("weights", weights), ("labels", labels)] {
      if let file { parts.append("\(name) \(checksum(try Bytes(mapping: file)))") }
    }
    return parts.joined(separator: ", ")
  }

  /// The grey levels it was trained on.
  var levels: Int? {
    if case .trained(_, let configuration) = content { configuration.levels } else { nil }
  }

  /// Which rows of a data set are points, and what they weigh.
  private func selection(of count: Int) throws(ArrayFileError) -> PointSelection {
    try PointSelection(count: count, weights: weights, labels: labels, class: labels == nil ? nil : label)
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
      let selection = try selection(of: data.batch)
      return LoadedModel(
        path: path, type: type ?? .float64,
        data: DataSet(
          data, raw: Tensor(input.array), identity: { Journal.checksum(of: input.array) }, selection,
          levels: input.isLevels,
          on: schedule))
    case .stored(let rows, let streams):
      let type = type ?? .float64
      let selection = try selection(of: rows.shape[0])
      var survey = try PointSurvey(rows, type: type, levels: GreyLevels(levels), selection: selection)
      let progress = Progress("reading", total: survey.count)
      while let done = try survey.next() { progress.show(done) }
      let points = survey.points
      return LoadedModel(path: path, type: type, data: try DataSet(points, selection, streams: streams, on: schedule))
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

extension LoadedModel {
  /// A data set's own field.
  init(path: String, type: ElementType, data: DataSet) {
    self.init(
      path: path, type: type, denoiser: data.field, field: data.field, data: data, sampleShape: data.sampleShape)
  }
}

/// A model that is ready to be asked.
struct LoadedModel {
  let path: String
  /// The element type it is asked in.
  let type: ElementType
  var denoiser: any Denoiser
  /// The same, where it is exact.
  var field: (any ExactField)?
  /// The same with its trace head, where it has one, and what that stands for.
  var traced: TraceMatchedDenoiser?
  var form: NamedTraceForm?
  /// The data set, where that is the model.
  var data: DataSet?
  /// Its points, where they are in memory.
  var points: Tensor? { data?.points }
  /// The shape of one sample.
  let sampleShape: [Int]

  var dimension: Int { sampleShape.reduce(1, *) }
  /// Whether its data stay on the disk.
  var isStreamed: Bool { data?.stored != nil }

  /// Throws where an answer could not be had, and is not a number for that reason.
  func check() throws(ArrayFileError) { try data?.stored?.check() }

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
