import Scorefield

/// A training that writes checkpoints and goes on from them.
struct TrainingJob {
  let folder: CheckpointFolder
  /// The folder, where it holds a training already, and the state that goes on.
  let claimed: CheckpointWriter?
  let state: CheckpointState<Info>?
  let configuration: ModelConfiguration
  let data: TrainingData
  let batch, steps: Int
  /// Steps from one checkpoint, and from one line of the log, to the next.
  let checkpointInterval, logInterval: Int
  let seed: UInt64
  /// What a training that goes on must share.
  let identity: [String: String]

  /// What a state holds beside tensors.
  struct Info: Codable, Sendable {
    let configuration: ModelConfiguration
    let identity: [String: String]
    let order: DataOrder
    let steps, threads, metricsOffset: Int
    /// The losses since the last line of the log, and the loss of that line.
    let lossSum: Double
    let lossCount: Int
    let lastLoss: Double
    let seconds: Double
  }

  /// A line of the log, and a point of each of TensorBoard's curves.
  struct Line: Codable {
    let step: Int
    let loss, learning_rate, gradient_norm, seconds: Double

    /// The curves by the names they have in the log.
    var curves: [(tag: String, value: Double)] {
      [("loss", loss), ("learning_rate", learning_rate), ("gradient_norm", gradient_norm)]
    }
  }

  /// What came out.
  struct Result {
    let step: Int
    /// The mean loss since the last line of the log, or of that line.
    let loss: Double
    let seconds: Double
    let parameterCount: Int
  }

  /// Trains to the end, or to the next Ctrl-C, which leaves a whole checkpoint.
  func train<O: Objective>(_ start: TrainingRun<O>) throws -> Result {
    let run = try state.map { try start.restored(from: $0.tensors, step: $0.step, path: $0.path) } ?? start
    Interrupt.isDeferred = true
    // Pressed once more, it must not cut off the line that says where the training stopped.
    defer { if !Interrupt.isPending { Interrupt.isDeferred = false } }
    let writer = try claimed ?? CheckpointWriter(folder)
    guard try claimed != nil || !folder.hasState() else {
      throw Failure(
        .cannotWrite, folder.path, "another training was there first", repair: "add --resume, or give another folder")
    }
    var kept = state?.step
    var files: [String] = []
    do {
      return try train(run, writer, &kept, &files)
    } catch {
      // Where nothing was kept, nothing is left.
      if kept == nil { writer.withdraw(files) }
      throw error
    }
  }

  /// The steps themselves; what is kept, and which files the writer does not know of, is known where they fail too.
  private func train<O: Objective>(
    _ start: TrainingRun<O>, _ writer: CheckpointWriter, _ kept: inout Int?, _ files: inout [String]
  ) throws -> Result {
    var run = start
    var order = state?.info.order ?? DataOrder(count: data.source.count, seed: seed)
    var (lossSum, lossCount) = (state?.info.lossSum ?? 0, state?.info.lossCount ?? 0)
    var lastLoss = state?.info.lastLoss ?? .nan
    let metrics = try MetricsLog(folder.metricsPath, keeping: state.map { .offset($0.info.metricsOffset) } ?? .empty)
    try writer.writeConfiguration(configuration)
    // It may be older than the state, or gone.
    if state != nil { try writeModel(run, writer) }

    let clock = ContinuousClock()
    let begin = clock.now
    func seconds() -> Double { (state?.info.seconds ?? 0) + (clock.now - begin).seconds }
    func save(_ kept: inout Int?) throws {
      guard run.isFinite else { throw diverged(run.step, kept, "weights") }
      try metrics.synchronize()
      try writer.writeState(
        step: run.step, tensors: run.state,
        info: Info(
          configuration: configuration, identity: identity, order: order, steps: steps, threads: Threads.count,
          metricsOffset: metrics.offset, lossSum: lossSum, lossCount: lossCount, lastLoss: lastLoss, seconds: seconds())
      )
      kept = run.step
      try writeModel(run, writer)
    }

    if run.step < steps {
      let events = try EventFile(in: folder.path, from: run.step)
      files.append(events.path)
      let progress = Progress("train", total: steps, before: run.step)
      defer { progress.finish() }
      while run.step < steps, !Interrupt.isPending {
        let step = run.advance(on: try data.batch(order.next(batch), step: run.step))
        guard step.isFinite else { throw diverged(run.step, kept, "loss") }
        lossSum += step.loss
        lossCount += 1
        if run.step % logInterval == 0 || run.step == steps {
          lastLoss = lossSum / Double(lossCount)
          let line = Line(
            step: run.step, loss: lastLoss, learning_rate: step.learningRate, gradient_norm: step.gradientNorm,
            seconds: seconds())
          try metrics.append(line)
          try events.append(line.curves, at: run.step)
          (lossSum, lossCount) = (0, 0)
        }
        if run.step % checkpointInterval == 0 || run.step == steps { try save(&kept) }
        progress.show(run.step, note: "loss \(significant(lossCount > 0 ? lossSum / Double(lossCount) : lastLoss, 3))")
      }
      if kept != run.step { try save(&kept) }
      try events.synchronize()
    }
    return Result(
      step: run.step, loss: lossCount > 0 ? lossSum / Double(lossCount) : lastLoss,
      seconds: (clock.now - begin).seconds,
      parameterCount: run.model.parameterCount)
  }

  private func writeModel<O: Objective>(_ run: TrainingRun<O>, _ writer: CheckpointWriter) throws {
    try writer.writeModel(run.averagedModel.namedParameters, metadata: ["step": "\(run.step)"])
  }

  private func diverged(_ step: Int, _ kept: Int?, _ what: String) -> Failure {
    Failure(
      .badData, folder.path,
      "the \(what) of step \(step) \(what == "loss" ? "is not a number" : "are not numbers"), and "
        + (kept.map { "the checkpoint of step \($0) is kept" } ?? "nothing was kept"),
      repair: "lower --learning-rate or set --clip, and start afresh")
  }
}
