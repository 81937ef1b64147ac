import Scorefield

/// A training that writes checkpoints and goes on from them.
struct TrainingJob {
  let writer: CheckpointWriter
  let configuration: ModelConfiguration
  let data: TrainingData
  let batch, steps: Int
  /// Steps from one checkpoint, and from one line of the log, to the next.
  let checkpointInterval, logInterval: Int
  let resumes: Bool
  let seed: UInt64
  let threadsAreGiven: Bool
  /// The options that a training that goes on must share.
  let identity: [String: String]

  /// What a state holds beside tensors.
  struct Info: Codable, Sendable {
    let order: DataOrder
    let threads: Int
    let metricsOffset: Int
    /// The losses since the last line of the log.
    let lossSum: Double
    let lossCount: Int
    let seconds: Double
    let identity: [String: String]
  }

  /// A line of the log.
  struct Line: Codable {
    let step: Int
    let loss, learning_rate, gradient_norm, seconds: Double
  }

  /// What came out.
  struct Result {
    let step: Int
    /// The mean loss since the last line of the log, or of that line.
    let loss: Double
    let seconds: Double
    let resumedFrom: Int?
    let messages: [String]
    let parameterCount: Int
  }

  /// Trains to the end, or to the next Ctrl-C, which leaves a whole checkpoint.
  func train<O: Objective>(_ start: TrainingRun<O>) throws -> Result {
    var run = start
    var order = DataOrder(count: data.source.count, seed: seed)
    var (lossSum, lossCount, secondsBefore, lastLoss) = (0.0, 0, 0.0, Double.nan)
    var messages: [String] = []
    let folder = writer.folder
    let state = resumes ? try folder.latestState(as: Info.self) : nil
    if let state {
      messages += state.damaged.map { "\($0.path): \($0.problem); going on from step \(state.step)" }
      if let (key, _) = identity.sorted(by: { $0.key < $1.key }).first(where: {
        state.info.identity[$0.key] != $0.value
      }) {
        throw Failure.option(
          "--\(key)", "the training in \(folder.path) has '\(state.info.identity[key] ?? "")'",
          repair: "give the same, or another --out")
      }
      if !threadsAreGiven {
        Threads.count = state.info.threads
      } else if Threads.count != state.info.threads {
        messages.append(
          "--threads: the training had \(state.info.threads); with another count the last bits differ")
      }
      run = try run.restored(from: state.tensors, step: state.step, path: state.path)
      order = state.info.order
      (lossSum, lossCount, secondsBefore) = (state.info.lossSum, state.info.lossCount, state.info.seconds)
    } else {
      try writer.removeStates()
    }
    let resumedFrom = state?.step
    let metrics = try MetricsLog(folder.metricsPath, keeping: state.map { .offset($0.info.metricsOffset) } ?? .empty)
    let events = try EventFile(in: folder.path, from: run.step)
    try writer.writeConfiguration(configuration)

    let clock = ContinuousClock()
    let begin = clock.now
    func seconds() -> Double { secondsBefore + (clock.now - begin).seconds }
    var savedStep = resumedFrom
    func save() throws {
      try metrics.synchronize()
      try writer.writeState(
        step: run.step, tensors: run.state,
        info: Info(
          order: order, threads: Threads.count, metricsOffset: metrics.offset, lossSum: lossSum, lossCount: lossCount,
          seconds: seconds(), identity: identity))
      try writer.writeModel(run.averagedModel.namedParameters, metadata: ["step": "\(run.step)"])
      savedStep = run.step
    }

    let progress = Progress("train", total: steps)
    Interrupt.isDeferred = true
    defer { Interrupt.isDeferred = false }
    while run.step < steps, !Interrupt.isPending {
      let positions = order.next(batch)
      let step = run.advance(on: try data.batch(positions, step: run.step))
      guard step.isFinite else {
        let kept = savedStep.map { "the checkpoint of step \($0) is kept" } ?? "no checkpoint was written yet"
        throw Failure(
          .badData, folder.path, "the loss of step \(run.step) is not a number, and \(kept)",
          repair: "lower --learning-rate or set --clip, and start afresh")
      }
      lossSum += step.loss
      lossCount += 1
      if run.step % logInterval == 0 || run.step == steps {
        lastLoss = lossSum / Double(lossCount)
        let line = Line(
          step: run.step, loss: lastLoss, learning_rate: step.learningRate, gradient_norm: step.gradientNorm,
          seconds: seconds())
        try metrics.append(line)
        try events.append(
          [
            (tag: "loss", value: line.loss), (tag: "learning_rate", value: line.learning_rate),
            (tag: "gradient_norm", value: line.gradient_norm),
          ], at: run.step)
        (lossSum, lossCount) = (0, 0)
      }
      if run.step % checkpointInterval == 0 || run.step == steps { try save() }
      progress.show(run.step, note: "loss \(significant(lossCount > 0 ? lossSum / Double(lossCount) : lastLoss, 3))")
    }
    progress.finish()
    if savedStep != run.step { try save() }
    try events.synchronize()
    return Result(
      step: run.step, loss: lossCount > 0 ? lossSum / Double(lossCount) : lastLoss,
      seconds: (clock.now - begin).seconds,
      resumedFrom: resumedFrom, messages: messages, parameterCount: run.model.parameterCount)
  }
}
