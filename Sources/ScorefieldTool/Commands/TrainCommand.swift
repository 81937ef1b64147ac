import ArgumentParser
import Scorefield
import ScorefieldImages

struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Train a model on data: a denoiser, with the trace of its Fisher beside it or without.",
    discussion: """
      Writes a checkpoint folder: model.safetensors and config.json, which the other commands take as --model; state, from \
      which --resume goes on bit for bit; metrics.jsonl and TensorBoard's events. Ctrl-C writes a whole checkpoint first.
      """)

  @OptionGroup var common: CommonOptions
  @OptionGroup var options: TrainingOptions

  @Option(help: "The data: .npy, .csv or a folder of PNGs, shape [N, …]; integers are grey levels.")
  var data: String

  @Option(help: "What is known of each sample: classes [N] or vectors [N, c] (.npy).")
  var labels: String?

  @Option(help: "The noise schedule: \(ScheduleInput.names.joined(separator: ", ")); with :key=value,….")
  var schedule: String

  @Option(help: "The checkpoint folder.")
  var out: String

  @Flag(help: "Go on from the folder's last checkpoint; start afresh where there is none.")
  var resume = false

  @Option(help: "Steps from one checkpoint to the next.")
  var checkpointEvery = 1000

  @Option(help: "Steps from one line of the log to the next.")
  var logEvery = 50

  private struct Body: Encodable {
    let data, schedule, objective, out: String
    let steps, batch, samples, parameters: Int
    let resumedFrom: Int?
    let loss, stepsPerSecond: Double?
    let sigmaData: Double
    let warnings: [String]
  }

  mutating func run() throws {
    let asked = try common.validated()
    guard asked != .float64 else {
      throw Failure.option("--dtype", "training is done in float32", repair: "leave it out, or see --precision")
    }
    try options.check()
    for (value, option) in [(checkpointEvery, "--checkpoint-every"), (logEvery, "--log-every")] where value <= 0 {
      throw Failure.option(option, "\(value) is no count of steps", repair: "give a positive number")
    }
    let schedule = try ScheduleInput(self.schedule)
    let folder = CheckpointFolder(out)
    try TrainingFolder.check(folder, resumes: resume)
    let levels = GreyLevels(common.levels ?? 256)

    try common.start()
    // Before anything is computed whose last bits depend on the threads.
    let claimed = try resume && folder.hasState() ? CheckpointWriter(folder) : nil
    let state = try claimed.flatMap { _ in try folder.latestState(as: TrainingJob.Info.self) }
    var warnings = state.map(takeUp) ?? []
    let source = try Self.source(data, levels: levels)
    let known = try labels.map { try Labels(npy: $0, count: source.count) }
    let training = TrainingData(source, labels: known, dropout: options.classDropout, seed: common.seed)
    let some = try training.some(4096).to(.float64)
    let sigmaData = some.squared().mean().item.squareRoot()
    guard sigmaData > 0 else {
      throw Failure(.badData, data, "holds zeros only", repair: "give data with some variance")
    }
    try TrainingPlan.check(sigmaData, on: schedule, path: data)
    var configuration = try options.configuration(
      of: source, on: schedule.named, sigmaData: sigmaData, levels: source.levels?.count, labels: known)
    let identity = try options.identity(of: configuration, labels: known)
      .merging(training.identity()) { $1 }.merging(["schedule": schedule.text, "seed": "\(common.seed)"]) { $1 }
    if let state {
      try check(state, has: identity)
      warnings += try lengthened(state)
      configuration = state.info.configuration
    } else {
      try training.check()
    }
    for warning in warnings { Terminal.say("scorefield: warning: \(warning)") }

    let job = TrainingJob(
      folder: folder, claimed: claimed, state: state, configuration: configuration, data: training,
      batch: options.batch, steps: options.steps, checkpointInterval: checkpointEvery, logInterval: logEvery,
      seed: common.seed, identity: identity)
    let result = try TrainingPlan(
      options: options, configuration: configuration, data: training, seed: common.seed
    ).train(job)

    guard !Interrupt.isPending else {
      Terminal.say("scorefield: interrupted at step \(result.step); \(out) goes on with --resume")
      throw ExitCode(Interrupt.status)
    }
    let done = result.step - (state?.step ?? 0)
    if common.json {
      let body = Body(
        data: data, schedule: schedule.text, objective: options.objective, out: out, steps: result.step,
        batch: options.batch, samples: source.count, parameters: result.parameterCount,
        resumedFrom: state?.step, loss: numbers([result.loss])[0],
        stepsPerSecond: numbers([Double(done) / result.seconds])[0], sigmaData: configuration.sigmaData,
        warnings: warnings)
      try Terminal.answer(try Report(body: body, seconds: result.seconds, networkEvaluations: done).json())
    } else {
      try Terminal.answer(
        "\(result.step) steps, loss \(significant(result.loss, 4)), \(result.parameterCount) parameters; "
          + "\(out) is a --model now")
    }
  }

  /// Goes on with the threads of a state, and says what is not as it was left.
  private func takeUp(_ state: CheckpointState<TrainingJob.Info>) -> [String] {
    let damaged = state.damaged.map { "\($0.path): \($0.problem); going on from step \(state.step)" }
    guard let threads = common.threads else {
      Threads.count = state.info.threads
      return damaged
    }
    guard threads != state.info.threads else { return damaged }
    return damaged + ["--threads: the training had \(state.info.threads); with another count the last bits differ"]
  }

  /// Refuses to go on with another training.
  private func check(_ state: CheckpointState<TrainingJob.Info>, has identity: [String: String]) throws(Failure) {
    for (key, value) in identity.sorted(by: { $0.key < $1.key }) where state.info.identity[key] != value {
      let before = state.info.identity[key] ?? "none"
      throw .option(
        "--\(key)", "is '\(value)' here and '\(before)' in the training in \(out)",
        repair: "give the same as before, or another --out")
    }
    guard options.steps >= state.step else {
      throw .option(
        "--steps", "\(options.steps) is less than the \(state.step) that the training in \(out) has done",
        repair: "give as many or more")
    }
  }

  /// Says what another number of steps makes of the learning rate.
  private func lengthened(_ state: CheckpointState<TrainingJob.Info>) throws(Failure) -> [String] {
    guard options.steps != state.info.steps, options.steps > state.step else { return [] }
    var before = options
    before.steps = state.info.steps
    let (old, new) = (before.settings(), options.settings())
    let rates = [old, new].map { significant($0.learningRate.rate(at: max(state.step, 1)), 3) }
    return [
      "--steps: \(options.steps) in place of \(state.info.steps); the learning rate is \(rates[1]) where it was "
        + "\(rates[0]), and falls along the new cosine"
    ]
  }

  /// The data, read as they are needed.
  static func source(_ path: String, levels: GreyLevels) throws -> any TrainingSource {
    switch ArrayOutput.fileExtension(of: path) {
    case "npy": return try StoredData(npy: path, levels: levels)
    case "csv": return TensorData(try ArrayInput(path).values(.float32))
    default:
      guard levels.count <= 256 else {
        throw Failure.option(
          "--levels", "\(path) is read with 256 levels", repair: "leave --levels out, or give an .npy")
      }
      let pictures = try StoredData(PNGFolder(path), levels: levels)
      return pictures.sampleShape.count == 3 ? ChannelsFirst(base: pictures) : pictures
    }
  }
}
