import ArgumentParser
import Scorefield

/// A training of the demonstration's own network, kept in its folder and used again where it fits.
struct KeptTraining {
  let model: TraceMatchedDenoiser
  let figures: Figures

  struct Figures: Encodable {
    let checkpoint: String
    let parameters, steps, batch: Int
    /// Whether it was there already.
    let isReused: Bool
    /// Of the training, whenever it was.
    let seconds: Double
    /// The denoiser's loss on digits it learned from and on digits it never saw, each noised four times.
    let knownLoss, heldOutLoss: Double
  }

  /// Trains, goes on training, or reads what was trained.
  ///
  /// - Parameters:
  ///   - digits: The digits.
  ///   - budget: How long.
  ///   - seed: What decides everything random.
  ///   - path: The checkpoint's folder.
  /// - Throws: Where the folder cannot be used, or Ctrl-C ends the training; it goes on the next time.
  init(on digits: DigitSet, budget: DigitModel.Budget, seed: UInt64, in path: String) throws {
    let (run, data, configuration) = try DigitModel.training(
      on: digits, conditional: false, budget: budget, seed: seed)
    let folder = CheckpointFolder(path)
    let identity = try data.identity().merging([
      "seed": "\(seed)", "steps": "\(budget.steps)", "batch": "\(budget.batch)", "threads": "\(Threads.count)",
      "learning-rate": "\(budget.learningRate)",
    ]) { $1 }
    // One that does not fit, or cannot be read, is trained afresh.
    var state = (try? folder.latestState(as: TrainingJob.Info.self)) ?? nil
    if state?.info.identity != identity || state?.info.configuration != configuration { state = nil }
    let kept = state?.step == budget.steps ? Self.read(configuration, from: folder) : nil
    let isReused = kept != nil
    var seconds = state?.info.seconds ?? 0
    if let kept {
      model = kept
    } else {
      if state?.step == budget.steps { state = nil }
      // Claimed: a training that does not fit gives way.
      let job = TrainingJob(
        folder: folder, claimed: try CheckpointWriter(folder), state: state,
        configuration: configuration, data: data, batch: budget.batch, steps: budget.steps, checkpointInterval: 500,
        logInterval: 50, seed: seed, identity: identity)
      let result = try job.train(run)
      guard !Interrupt.isPending else {
        Terminal.say("scorefield: interrupted at step \(result.step); the same command goes on from there")
        throw ExitCode(Interrupt.status)
      }
      guard let trained = Self.read(configuration, from: folder),
        let written = try folder.latestState(as: TrainingJob.Info.self)
      else {
        throw Failure(.ourBug, path, "cannot be read after it was written", repair: "remove it and try again")
      }
      (model, seconds) = (trained, written.info.seconds)
    }

    let (denoising, denoiser) = (run.objective.denoising, model.denoiser)
    func loss(_ images: Tensor) -> Double {
      var generator = Generator(seed: seed + 40)
      let rows = images.tiled(4, 1, 1)
      return denoising.loss(of: denoiser, on: TrainingBatch(rows), using: &generator).mean().item
    }
    let heldOut = digits.heldOut(.float32)
    figures = Figures(
      checkpoint: path, parameters: model.parameterCount, steps: budget.steps, batch: budget.batch, isReused: isReused,
      seconds: seconds, knownLoss: loss(digits.known(.float32)[..<heldOut.batch]), heldOutLoss: loss(heldOut))
  }

  private static func read(_ configuration: ModelConfiguration, from folder: CheckpointFolder) -> TraceMatchedDenoiser?
  {
    guard let kept = try? folder.readConfiguration(as: ModelConfiguration.self), kept == configuration else {
      return nil
    }
    return try? TrainedModel(configuration, from: folder).traced
  }
}
