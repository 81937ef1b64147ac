import Scorefield

/// The objective the options name, and the model it is for.
struct TrainingPlan {
  let options: TrainingOptions
  let configuration: ModelConfiguration
  let data: TrainingData
  let seed: UInt64

  /// Reference points of stable targets, at most.
  private static let referenceLimit = 8192
  /// Posteriors that are computed before training, where points have few dimensions.
  private static let poolSize = 1_500_000

  func train(_ job: TrainingJob) throws -> TrainingJob.Result {
    var generator = Generator(seed: seed)
    let model = try TrainedModel(configuration, using: &generator)
    let times = times(on: try configuration.schedule.schedule())
    let settings = options.settings()
    let isStable = options.isStable(data.labels)
    let reference = isStable ? try data.someWithClasses(Self.referenceLimit) : nil
    let targets = reference.map { StableTargets(over: $0.data, conditions: $0.condition) }
    let denoising = DenoisingObjective(
      times: times, weighting: .edm(sigmaData: configuration.sigmaData), of: .data, targets: targets)
    switch model {
    case .denoiser(let model):
      return try job.train(run(model, denoising, settings, generator))
    case .traceMatched(let model):
      let loss: TraceLoss = isStable ? .relative : .squared
      let source = options.targets == "own" ? JointObjective.TraceSource.denoiser(relativeStep: 0.02) : .denoising
      // A posterior costs more than a step of such a network: they are drawn from a pool.
      if let reference, data.labels == nil, configuration.sampleShape.reduce(1, *) <= 3,
        configuration.trace != .predictionError
      {
        let objective = PooledObjective(
          min(Self.poolSize, options.steps * options.batch), of: reference.data, times: times,
          for: model, loss: loss, using: &generator)
        return try job.train(run(model, objective, settings, generator))
      }
      return try job.train(run(model, JointObjective(denoising, trace: source, loss: loss), settings, generator))
    }
  }

  private func run<O: Objective>(
    _ model: O.Model, _ objective: O, _ settings: TrainingSettings, _ generator: Generator
  ) throws(Failure) -> TrainingRun<O> {
    TrainingRun(
      model, objective, settings: settings, averaging: try options.average(of: model.parameters), generator: generator)
  }

  /// Noise levels evenly on a logarithmic scale, and times evenly, so that nothing is left out.
  private func times(on schedule: any NoiseSchedule) -> any TimeDistribution {
    let range = schedule.timeRange
    let (low, high) = Self.ratios(on: schedule, sigmaData: configuration.sigmaData)
    return MixedTimes(
      0.75, of: LogUniformNoise(on: schedule, ratios: low...high),
      else: UniformTimes(max(range.lowerBound, schedule.time(atNoiseToSignal: low))...range.upperBound))
  }

  /// The noise-to-signal ratios that matter to data of a standard deviation, as far as a schedule has them.
  private static func ratios(on schedule: any NoiseSchedule, sigmaData: Double) -> (low: Double, high: Double) {
    let range = schedule.timeRange
    let ends = [range.lowerBound, range.upperBound].map { schedule.kernel(at: $0).noiseToSignal }
    return (max(ends[0], 0.01 * sigmaData), min(ends[1], 20 * sigmaData))
  }

  /// Refuses data that a schedule never hides, or never shows.
  static func check(_ sigmaData: Double, on schedule: ScheduleInput, path: String) throws(Failure) {
    let (low, high) = ratios(on: schedule.schedule, sigmaData: sigmaData)
    guard low < high else {
      let range = schedule.schedule.timeRange
      let ends = [range.lowerBound, range.upperBound].map {
        significant(schedule.schedule.kernel(at: $0).noiseToSignal, 2)
      }
      throw Failure(
        .badData, path,
        "has a standard deviation of \(significant(sigmaData, 2)), and '\(schedule.text)' has noise from \(ends[0]) to "
          + "\(ends[1]) of the signal", repair: "scale the data")
    }
  }
}
