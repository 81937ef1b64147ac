import Scorefield

/// A loss of samples, as `--loss`, `--features` and `--measurement` name it.
struct LossInput {
  let name: String
  private let kind: Kind
  private let seen: Seen
  private let features: String?

  private enum Kind {
    case target(ArrayInput)
    case script(String)
    case classifier(String, Int)
    case style(ArrayInput)
    case reward(String, RewardHead.Activation)
  }

  private enum Seen {
    case all
    case mask(ArrayInput)
    case downsampling(Int)
    case blur(Double)
    case matrix(ArrayInput)
  }

  /// The forms `--loss` takes.
  static let forms =
    "target:FILE.npy, class:CLASSIFIER.pt:k, style:FILE.npy, reward:HEAD.safetensors or script:LOSS.pt"

  init(_ text: String, features: String?, measurement: String) throws {
    (name, self.features) = (text, features)
    kind = try Self.kind(text)
    seen = try Self.seen(measurement)
    guard isTarget || measurement == "none" else {
      throw Failure.option("--measurement", "is for targets, and the loss is '\(text)'", repair: "leave it out")
    }
    switch kind {
    case .style where features == nil, .reward where features == nil:
      throw Failure.option("--features", "is missing", repair: "give a TorchScript module, FILE.pt, for '\(text)'")
    case .target where features != nil, .script where features != nil, .classifier where features != nil:
      throw Failure.option("--features", "is for style and reward, and the loss is '\(text)'", repair: "leave it out")
    default: break
    }
  }

  /// Whether it is the distance to a target, which has a measurement.
  var isTarget: Bool { if case .target = kind { true } else { false } }

  private static func kind(_ text: String) throws -> Kind {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2, !parts[1].isEmpty else {
      throw Failure.option("--loss", "'\(text)' is no loss", repair: "write \(forms)")
    }
    let value = parts[1]
    switch parts[0] {
    case "target": return .target(try ArrayInput(value))
    case "script": return .script(value)
    case "style": return .style(try ArrayInput(value))
    case "reward":
      let isRectified = value.hasSuffix(":relu")
      return .reward(isRectified ? String(value.dropLast(5)) : value, isRectified ? .relu : .none)
    case "class":
      guard let colon = value.lastIndex(of: ":"), let label = Int(value[value.index(after: colon)...]), label >= 0,
        colon > value.startIndex
      else { throw Failure.option("--loss", "'\(text)' lacks a class", repair: "write class:CLASSIFIER.pt:k") }
      return .classifier(String(value[..<colon]), label)
    default: throw Failure.option("--loss", "'\(text)' is no loss", repair: "write \(forms)")
    }
  }

  private static func seen(_ measurement: String) throws -> Seen {
    let parts = measurement.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let value = parts.count > 1 ? parts[1] : nil
    func missing(_ what: String) -> Failure {
      .option("--measurement", "'\(measurement)' lacks \(what)", repair: "write \(parts[0]):\(what)")
    }
    func given() throws -> String {
      guard let value, !value.isEmpty else {
        throw missing(parts[0] == "blur" ? "WIDTH" : "n")
      }
      return value
    }
    switch parts[0] {
    case "none" where value == nil: return .all
    case "inpaint":
      guard let value, !value.isEmpty else { throw missing("MASK.npy") }
      return .mask(try ArrayInput(value))
    case "matrix":
      guard let value, !value.isEmpty else { throw missing("FILE.npy") }
      return .matrix(try ArrayInput(value))
    case "downsample":
      let value = try given()
      guard let factor = Int(value), factor > 0 else {
        throw Failure.option(
          "--measurement", "'\(value)' is no factor to downsample by", repair: "give a whole number from 1")
      }
      return .downsampling(factor)
    case "blur":
      let value = try given()
      guard let width = Double(value), width > 0, width <= 10 else {
        throw Failure.option(
          "--measurement", "'\(value)' is no width of a blur in pixels", repair: "give a number above 0, up to 10")
      }
      return .blur(width)
    default:
      throw Failure.option(
        "--measurement", "'\(measurement)' is no measurement",
        repair: "use none, inpaint:MASK.npy, downsample:n, blur:width or matrix:FILE.npy")
    }
  }

  /// A loss that is ready to be asked, and what is seen of targets.
  struct Ready {
    /// Throws where an answer is not one number per sample.
    let loss: (Tensor) throws(ArrayFileError) -> Tensor
    /// Whose fault it is where it is no number.
    let file: String
    let target: (measurement: any LinearMeasurement, observed: Tensor)?

    /// What is wrong where a loss or its gradient is no number though the sample is one; nil elsewhere.
    func refusal(of end: PathEnd, atStep step: Int) -> ArrayFileError? {
      let isSample = end.endpoint.flattened.isFinite().all(-1)
      guard let sample = (isSample .& .!end.isFinite).flags.firstIndex(of: true) else { return nil }
      let loss = end.loss[sample].item
      return refusal(
        loss.isFinite ? "has a gradient that is no number" : "is \(loss)", of: sample, "at guided step \(step)")
    }

    /// The same of the losses that samples end with.
    func refusal(of found: GuidedSamples) -> ArrayFileError? {
      let last = found.losses[found.losses.batch - 1]
      let isSample = found.samples.flattened.isFinite().all(-1)
      guard let sample = (isSample .& .!last.isFinite()).flags.firstIndex(of: true) else { return nil }
      return refusal("is \(last[sample].item)", of: sample, "at the end")
    }

    private func refusal(_ what: String, of sample: Int, _ place: String) -> ArrayFileError {
      ArrayFileError(
        file, .badData, "the loss of sample \(sample) \(what) \(place)",
        repair: "give one that is finite, and so is its gradient, wherever samples may be")
    }
  }

  /// The loss for samples of a model, which was tried on as many.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - count: How many samples there will be.
  ///   - levels: The grey levels of integers.
  /// - Returns: The loss, and what is seen of a target.
  /// - Throws: Where a file cannot be read, does not fit the model's samples, or does not depend on them.
  func ready(for model: LoadedModel, count: Int, levels: Int) throws -> Ready {
    /// A module whose every answer is looked at.
    func module(
      _ path: String, refusing problem: @escaping @Sendable (Tensor, Int) -> ArrayFileError?
    ) throws(ArrayFileError) -> @Sendable (Tensor) throws(ArrayFileError) -> Tensor {
      let module = try ScriptModule(path, type: model.type)
      return { (x) throws(ArrayFileError) in
        let answer = try module(x)
        if let refusal = problem(answer, x.batch) { throw refusal }
        return answer
      }
    }
    let loss: (Tensor) throws(ArrayFileError) -> Tensor
    let file: String
    switch kind {
    case .target(let input):
      let measurement = try measurement(of: model)
      let observed = measurement.apply(try samples(input, of: model, count: count, levels: levels))
      return Ready(
        loss: { (measurement.apply($0) - observed).flattened.squared().sum(-1) }, file: input.path,
        target: (measurement, observed))
    case .script(let path):
      (loss, file) = (try module(path) { Self.refusal(of: $0, from: path, for: $1) }, path)
    case .classifier(let path, let label):
      let classLoss = ClassLoss(
        of: [label],
        classifier: try module(path) { logits, count in
          logits.rank == 2 && logits.batch == count && label < logits.shape[1] && logits.elementType.isFloatingPoint
            ? nil
            : ArrayFileError(
              path, .badData, "answers with shape \(logits.shape) for \(count) samples and class \(label)",
              repair: "give logits [B, K] and a class below K")
        })
      (loss, file) = ({ (x) throws(ArrayFileError) in try classLoss(x) }, path)
    case .style(let input):
      let path = features!
      let example = try samples(input, of: model, count: count, levels: levels)
      // As many as there are samples: a module may have been traced for so many.
      let style = try StyleLoss(
        example: example.broadcast(to: [count] + model.sampleShape),
        features: try module(path) { found, count in
          guard found.rank >= 2, found.elementType.isFloatingPoint else {
            return ArrayFileError(path, .badData, "gives no channels", repair: "give features [B, C, …]")
          }
          return found.batch == count
            ? nil : Self.unlike(found, from: path, for: count, repair: "give features [B, C, …]")
        })
      (loss, file) = ({ (x) throws(ArrayFileError) in try style(x) }, path)
    case .reward(let path, let activation):
      let head = try RewardHead(path, type: model.type, activation: activation)
      let (source, wanted) = (features!, head.featureCount)
      let features = try module(source) { found, count in
        guard found.rank >= 1, found.batch == count, found.elementType.isFloatingPoint else {
          return Self.unlike(found, from: source, for: count, repair: "give features [B, …]")
        }
        let numbers = found.count / count
        return numbers == wanted
          ? nil
          : ArrayFileError(
            path, .badData, "takes \(wanted) numbers per sample, the features have \(numbers)",
            repair: "give the head of these features")
      }
      (loss, file) = ({ (x) throws(ArrayFileError) in -head(try features(x)) }, source)
    }
    try check(loss, of: file, on: .zeros([count] + model.sampleShape, type: model.type))
    return Ready(loss: loss, file: file, target: nil)
  }

  /// Refuses a loss without a gradient.
  private func check(
    _ loss: (Tensor) throws(ArrayFileError) -> Tensor, of file: String, on samples: Tensor
  ) throws {
    var generator = Generator(seed: 0)
    // A loss may be constant on one side of a threshold.
    for x in [samples, .normal(samples.shape, type: samples.elementType, using: &generator)] {
      if try valueAndDependence(at: x, of: loss).depends { return }
    }
    throw Failure(
      .badData, file, "gives a loss that does not depend on the samples, as far as gradients know",
      repair: "compute it from them with differentiable operations, without detach or no_grad")
  }

  /// What is wrong with an answer that is not one number per sample; nil where it is.
  private static func refusal(of answer: Tensor, from path: String, for count: Int) -> ArrayFileError? {
    answer.shape == [count] && answer.elementType.isFloatingPoint
      ? nil : unlike(answer, from: path, for: count, repair: "give one number per sample")
  }

  private static func unlike(_ answer: Tensor, from path: String, for count: Int, repair: String) -> ArrayFileError {
    ArrayFileError(
      path, .badData, "answers with \(answer.elementType.rawValue) of shape \(answer.shape) for \(count) samples",
      repair: repair)
  }

  private func samples(_ input: ArrayInput, of model: LoadedModel, count: Int, levels: Int) throws -> Tensor {
    try model.accepts(input)
    let samples = model.arranged(try input.data(model.type, levels: levels), of: input)
    guard samples.batch == 1 || samples.batch == count else {
      throw Failure(
        .badData, input.path, "holds \(samples.batch) targets for \(count) samples",
        repair: "give one, or one for each")
    }
    return samples.reshaped([samples.batch] + model.sampleShape)
  }

  /// What is seen of the samples of a model.
  private func measurement(of model: LoadedModel) throws -> any LinearMeasurement {
    switch seen {
    case .all: return MaskMeasurement(.ones(model.sampleShape, type: model.type))
    case .mask(let input):
      let mask = try input.values(model.type)
      guard mask.shape == model.sampleShape || mask.shape == [1] + model.sampleShape else {
        throw Failure(
          .badData, input.path, "has shape \(mask.shape), the samples \(model.sampleShape)",
          repair: "give one number for each of a sample's")
      }
      guard (mask .!= 0).any() else { throw Self.blind(input.path) }
      return MaskMeasurement(mask.reshaped(model.sampleShape))
    case .matrix(let input):
      let matrix = try input.values(model.type)
      guard matrix.rank == 2, matrix.shape[1] == model.dimension else {
        throw Failure(
          .badData, input.path, "has shape \(matrix.shape), and a sample has \(model.dimension) numbers",
          repair: "give [m, \(model.dimension)]")
      }
      guard (matrix .!= 0).any() else { throw Self.blind(input.path) }
      return MatrixMeasurement(matrix)
    case .downsampling(let factor):
      try image(of: model)
      guard model.sampleShape.suffix(2).allSatisfy({ $0 % factor == 0 }) else {
        throw Failure.option(
          "--measurement", "\(factor) does not divide the sides of samples \(model.sampleShape)",
          repair: "give a factor of both sides")
      }
      return DownsamplingMeasurement(factor)
    case .blur(let width):
      try image(of: model)
      let reach = Int((3 * width).rounded(.up))
      let line = Tensor((-reach...reach).map { -0.5 * (Double($0) / width) * (Double($0) / width) }).softmax(0)
      return BlurMeasurement(line.expanded(at: 1).matmul(line.expanded(at: 0)).to(model.type))
    }
  }

  private static func blind(_ path: String) -> Failure {
    Failure(
      .badData, path, "sees nothing: all of it is zero", repair: "give a number other than 0 where something is seen")
  }

  private func image(of model: LoadedModel) throws(Failure) {
    guard model.sampleShape.count >= 2 else {
      throw .option(
        "--measurement", "needs images, and samples have shape \(model.sampleShape)", repair: "use inpaint or matrix")
    }
  }
}
