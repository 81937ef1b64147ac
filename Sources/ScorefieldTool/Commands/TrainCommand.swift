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
    let interrupted: Bool
    let loss, stepsPerSecond: Double?
    let sigmaData: Double
    let warnings: [String]
  }

  mutating func run() throws {
    _ = try common.validated()
    try options.check()
    for (value, option) in [(checkpointEvery, "--checkpoint-every"), (logEvery, "--log-every")] where value <= 0 {
      throw Failure.option(option, "\(value) is no count of steps", repair: "give a positive number")
    }
    let schedule = try ScheduleInput(self.schedule)
    let folder = CheckpointFolder(out)
    guard resume || !folder.hasConfiguration else {
      throw Failure.option("--out", "\(out) holds a training already", repair: "add --resume, or give another folder")
    }
    let levels = GreyLevels(common.levels ?? 256)
    try common.start()
    let source = try Self.source(data, levels: levels)
    let known = try labels.map { try Labels(npy: $0, count: source.count) }
    let training = TrainingData(source, labels: known, dropout: options.classDropout, seed: common.seed)
    let some = try training.some(4096)
    let sigmaData = some.squared().mean().item.squareRoot()
    guard sigmaData > 0 else {
      throw Failure(.badData, data, "holds zeros only", repair: "give data with some variance")
    }
    let configuration = try options.configuration(
      of: source, on: schedule.named, sigmaData: sigmaData,
      levels: (source as? StoredData)?.levels?.count, classes: known?.width)

    let writer = try CheckpointWriter(folder)
    let job = TrainingJob(
      writer: writer, configuration: configuration, data: training, batch: options.batch, steps: options.steps,
      checkpointInterval: checkpointEvery, logInterval: logEvery, resumes: resume, seed: common.seed,
      threadsAreGiven: common.threads != nil,
      identity: options.identity.merging(
        ["data": data, "schedule": schedule.text, "seed": "\(common.seed)", "labels": labels ?? ""]) { $1 })
    let result = try TrainingPlan(
      options: options, configuration: configuration, data: training, seed: common.seed
    ).train(job)
    for message in result.messages { Terminal.say("scorefield: warning: \(message)") }

    let interrupted = result.step < options.steps
    if interrupted {
      Terminal.say("scorefield: interrupted at step \(result.step); \(out) goes on with --resume")
      throw ExitCode(ExitStatus.interrupted.rawValue)
    }
    let done = result.step - (result.resumedFrom ?? 0)
    if common.json {
      let body = Body(
        data: data, schedule: schedule.text, objective: options.objective, out: out, steps: result.step,
        batch: options.batch, samples: source.count, parameters: result.parameterCount,
        resumedFrom: result.resumedFrom, interrupted: interrupted, loss: numbers([result.loss])[0],
        stepsPerSecond: numbers([Double(done) / result.seconds])[0], sigmaData: sigmaData, warnings: result.messages)
      try Terminal.answer(try Report(body: body, seconds: result.seconds, networkEvaluations: done).json())
    } else {
      try Terminal.answer(
        "\(result.step) steps, loss \(significant(result.loss, 4)), \(result.parameterCount) parameters; "
          + "\(out) is a --model now")
    }
  }

  /// The data, read as they are needed.
  static func source(_ path: String, levels: GreyLevels) throws -> any DataSource {
    switch ArrayOutput.fileExtension(of: path) {
    case "npy": return try StoredData(npy: path, levels: levels)
    case "csv": return TensorData(try ArrayInput(path).values(.float32))
    default: return try StoredData(PNGFolder(path), levels: levels)
    }
  }
}
