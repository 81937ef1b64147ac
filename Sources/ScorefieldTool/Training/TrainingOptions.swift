import ArgumentParser
import Scorefield

/// What is trained, and how.
struct TrainingOptions: ParsableArguments {
  @Option(help: "denoise, or trace: denoiser and trace head together.")
  var objective = "denoise"

  @Option(help: "mlp, multiscale (points of few dimensions) or unet (images); the default goes by the data.")
  var network: String?

  @Option(help: "Units of a hidden layer, or channels at the size of the image.")
  var width: Int?

  @Option(help: "Hidden layers, or residual blocks per level.")
  var depth: Int?

  @Option(help: "What the network predicts: edm, noise, data, v, velocity or score.")
  var prediction = "edm"

  @Option(
    help: """
      What the trace head stands for: posterior-variance, prediction-error (the residual), noise-moment, or second-moment \
      (as printed).
      """)
  var traceForm = "posterior-variance"

  @Option(
    help: """
      stable (posteriors over the data of a sample's class), single (one draw each), or own (single draws, and for the trace head \
      the denoiser's own derivative: for likelihoods); the default is stable for trace, and single beside vectors.
      """)
  var targets: String?

  @Option(
    help: "How many steps; a training that goes on may have more, and its learning rate follows the longer cosine.")
  var steps = 5000

  @Option(help: "Samples per step.")
  var batch = 256

  @Option(help: "The highest learning rate; it rises over --warmup steps and falls along a cosine.")
  var learningRate = 1e-3

  @Option(help: "Steps over which the learning rate rises.")
  var warmup = 200

  @Option(help: "Weight decay of AdamW.")
  var weightDecay = 0.0

  @Option(help: "The norm that gradients are cut to (default: no limit).")
  var clip: Double?

  @Option(help: "The average of the weights: a decay such as 0.999, or power:s for EDM2's of relative width s.")
  var ema = "0.999"

  @Option(help: "float32 or bfloat16: what the network computes in while it is trained.")
  var precision = "float32"

  @Option(help: "The share of samples whose label is hidden, so that the model knows the unconditional field too.")
  var classDropout = 0.1

  /// Whether targets are posteriors over the data, of a sample's class where it has one; vectors have none.
  func isStable(_ labels: Labels?) -> Bool {
    if case .vectors = labels { return targets == "stable" }
    return targets.map { $0 == "stable" } ?? (objective == "trace")
  }

  /// The options that make a training what it is, with what the data made of those that were left out: one that goes on
  /// must have the same.
  func identity(of model: ModelConfiguration, labels: Labels?) -> [String: String] {
    let isLabelled = labels != nil
    return [
      "objective": objective, "network": model.network.kind, "width": "\(model.network.width)",
      "depth": "\(model.network.depth)", "prediction": model.prediction.rawValue,
      "trace-form": model.trace?.rawValue ?? "none",
      "targets": isStable(labels) ? "stable" : targets == "own" ? "own" : "single",
      "batch": "\(batch)", "learning-rate": "\(learningRate)", "warmup": "\(warmup)",
      "weight-decay": "\(weightDecay)", "clip": clip.map { "\($0)" } ?? "none", "ema": ema, "precision": precision,
      "class-dropout": isLabelled ? "\(classDropout)" : "none", "levels": model.levels.map { "\($0)" } ?? "none",
    ]
  }

  /// Refuses numbers with which nothing can be trained.
  func check() throws(Failure) {
    func require(_ holds: Bool, _ option: String, _ value: Any, _ repair: String) throws(Failure) {
      guard holds else { throw .option(option, "\(value) cannot be used", repair: repair) }
    }
    func oneOf(_ value: String, _ known: [String], _ option: String) throws(Failure) {
      guard known.contains(value) else {
        throw .option(option, "'\(value)' is not known", repair: "use one of \(known.joined(separator: ", "))")
      }
    }
    try oneOf(objective, ["denoise", "trace"], "--objective")
    try oneOf(network ?? "mlp", ["mlp", "multiscale", "unet"], "--network")
    try oneOf(prediction, NamedHead.allCases.map(\.rawValue), "--prediction")
    try oneOf(traceForm, NamedTraceForm.allCases.map(\.rawValue), "--trace-form")
    try oneOf(targets ?? "stable", ["stable", "single", "own"], "--targets")
    try oneOf(precision, ["float32", "bfloat16"], "--precision")
    try require(steps > 0 && steps <= 100_000_000, "--steps", steps, "give a number from 1 to 100000000")
    try require(batch > 0 && batch <= 1 << 20, "--batch", batch, "give a number from 1 to 1048576")
    try require(
      learningRate > 0 && learningRate <= 10, "--learning-rate", learningRate, "give a number between 0 and 10")
    try require((0...100_000_000).contains(warmup), "--warmup", warmup, "give a number from 0 to 100000000")
    try require((0..<1).contains(weightDecay), "--weight-decay", weightDecay, "give a number from 0 to less than 1")
    try require(clip.map { $0 > 0 } ?? true, "--clip", clip ?? 0, "give a positive number")
    try require(width.map { $0 > 0 && $0 <= 1 << 14 } ?? true, "--width", width ?? 0, "give a number from 1 to 16384")
    try require(depth.map { $0 > 0 && $0 <= 256 } ?? true, "--depth", depth ?? 0, "give a number from 1 to 256")
    try require((0...1).contains(classDropout), "--class-dropout", classDropout, "give a number from 0 to 1")
    _ = try average(of: [])
  }

  /// The average that `--ema` names.
  func average(of parameters: [Tensor]) throws(Failure) -> any WeightAverage {
    let value = try OptionValue(ema, of: "--ema")
    if let decay = Double(ema), (0..<1).contains(decay) {
      return ExponentialMovingAverage(of: parameters, decay: decay, warmsUp: true)
    }
    if value.name == "power", let width = Double(ema.dropFirst("power:".count)), width > 0.001, width < 0.28 {
      return PowerLawEMA(of: parameters, relativeWidth: width)
    }
    throw .option("--ema", "'\(ema)' is no average", repair: "give a decay such as 0.999, or power:0.1")
  }

  func settings() -> TrainingSettings {
    TrainingSettings(
      learningRate: .cosine(peak: learningRate, steps: steps + 1, warmup: min(warmup, steps / 2)),
      weightDecay: weightDecay, beta2: objective == "trace" ? 0.99 : 0.999,
      clipping: clip.map(GradientClipping.init(maximumNorm:)),
      precision: precision == "bfloat16" ? .bfloat16 : nil)
  }

  /// What the options and the data make of a model.
  ///
  /// - Parameters:
  ///   - data: The data.
  ///   - schedule: How they become noise.
  ///   - sigmaData: Their standard deviation about 0.
  ///   - levels: Their grey levels.
  ///   - labels: What is known of each.
  /// - Returns: The configuration.
  /// - Throws: Where a network does not fit the data.
  func configuration(
    of data: any DataSource, on schedule: ScheduleDescription, sigmaData: Double, levels: Int?, labels: Labels?
  ) throws(Failure) -> ModelConfiguration {
    let shape = data.sampleShape
    let dimension = shape.reduce(1, *)
    let isImage = shape.count >= 2
    let kind = network ?? (isImage && dimension >= 256 ? "unet" : dimension <= 3 ? "multiscale" : "mlp")
    let conditionWidth = labels?.width ?? 0
    if case .vectors = labels, isStable(labels) {
      throw .option("--targets", "'stable' knows classes, and the labels are vectors", repair: "use single")
    }
    guard conditionWidth <= 1 << 16 else {
      throw .option("--labels", "there are \(conditionWidth) classes or numbers", repair: "give at most \(1 << 16)")
    }
    guard batch.multipliedReportingOverflow(by: dimension).overflow == false, batch * dimension <= 1 << 30 else {
      throw .option("--batch", "\(batch) samples of \(dimension) numbers are too many at once", repair: "give fewer")
    }
    let architecture: Architecture
    switch kind {
    case "unet":
      guard isImage, let side = shape.last, shape[shape.count - 2] == side, shape.count <= 3 else {
        throw .option(
          "--network", "'unet' needs square images [H, W] or [C, H, W], and samples have shape \(shape)",
          repair: "crop them, move their channels to the front, or use mlp")
      }
      let channels = shape.count == 3 ? shape[0] : 1
      // As many levels as halves, down to a few pixels.
      let levels = min(side <= 8 ? 3 : 4, side.trailingZeroBitCount + 1)
      guard levels > 1 else {
        throw .option(
          "--network", "'unet' halves its images, and their side is \(side)",
          repair: "pad them to an even side, or use mlp")
      }
      var unet = UNet.Configuration(
        channels: channels, width: width ?? (side <= 8 ? 16 : 32),
        multipliers: [1] + Array(repeating: 2, count: levels - 1), blocks: depth ?? 1, conditionWidth: conditionWidth)
      if side > 16 { unet.attention = [levels - 2] }
      architecture = .unet(unet)
    case "multiscale":
      architecture = .multiscale(
        MultiscaleMLP.Configuration(
          dimension: dimension, width: width ?? 256, depth: depth ?? 3, sigmaData: sigmaData,
          waves: .init(lowest: 0.7 / sigmaData, highest: 46 / sigmaData, finest: 186 / sigmaData),
          conditionWidth: conditionWidth))
    default:
      architecture = .mlp(
        MLP.Configuration(
          dimension: dimension, width: width ?? (dimension > 8 ? 512 : 128), depth: depth ?? 4,
          conditionWidth: conditionWidth))
    }
    return ModelConfiguration(
      schedule: schedule, network: architecture, prediction: NamedHead(rawValue: prediction)!, sigmaData: sigmaData,
      trace: objective == "trace" ? NamedTraceForm(rawValue: traceForm)! : nil, sampleShape: shape, levels: levels,
      classes: labels?.classCount)
  }
}
