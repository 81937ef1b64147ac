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
    let loss: (Tensor) throws(ArrayFileError) -> Tensor
    let target: (measurement: any LinearMeasurement, observed: Tensor)?
  }

  /// The loss for samples of a model, which was tried on some.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - count: How many samples there will be.
  ///   - levels: The grey levels of integers.
  /// - Returns: The loss, and what is seen of a target.
  /// - Throws: Where a file cannot be read, or does not fit the model's samples.
  func ready(for model: LoadedModel, count: Int, levels: Int) throws -> Ready {
    func module(_ path: String) throws(ArrayFileError) -> ScriptModule { try ScriptModule(path, type: model.type) }
    let loss: (Tensor) throws(ArrayFileError) -> Tensor
    var file = name
    switch kind {
    case .target(let input):
      let measurement = try measurement(of: model)
      let observed = measurement.apply(try samples(input, of: model, count: count, levels: levels))
      return Ready(
        loss: { (measurement.apply($0) - observed).flattened.squared().sum(-1) }, target: (measurement, observed))
    case .script(let path):
      let module = try module(path)
      (loss, file) = ({ (x) throws(ArrayFileError) in try module(x) }, path)
    case .classifier(let path, let label):
      let module = try module(path)
      let logits = try module(probe(model))
      guard logits.rank == 2, logits.batch == 2, label < logits.shape[1] else {
        throw Failure(
          .badData, path, "answers with shape \(logits.shape) for 2 samples and class \(label)",
          repair: "give logits [B, K] and a class below K")
      }
      let classLoss = ClassLoss(of: [label]) { (x) throws(ArrayFileError) in try module(x) }
      (loss, file) = ({ (x) throws(ArrayFileError) in try classLoss(x) }, path)
    case .style(let input):
      let module = try module(features!)
      let example = try samples(input, of: model, count: count, levels: levels)
      guard try module(example).rank >= 2 else {
        throw Failure(.badData, features!, "gives no channels", repair: "give features [B, C, …]")
      }
      let style = try StyleLoss(example: example) { (x) throws(ArrayFileError) in try module(x) }
      (loss, file) = ({ (x) throws(ArrayFileError) in try style(x) }, features!)
    case .reward(let path, let activation):
      let (module, head) = (try module(features!), try RewardHead(path, type: model.type, activation: activation))
      let found = try module(probe(model)).flattened.shape[1]
      guard found == head.featureCount else {
        throw Failure(
          .badData, path, "takes \(head.featureCount) numbers per sample, the features have \(found)",
          repair: "give the head of these features")
      }
      (loss, file) = ({ (x) throws(ArrayFileError) in -head(try module(x)) }, path)
    }
    let found = try loss(probe(model))
    guard found.shape == [2], found.elementType.isFloatingPoint else {
      throw Failure(
        .badData, file, "answers with \(found.elementType.rawValue) of shape \(found.shape) for 2 samples",
        repair: "give one number per sample")
    }
    return Ready(loss: loss, target: nil)
  }

  private func probe(_ model: LoadedModel) -> Tensor { .zeros([2] + model.sampleShape, type: model.type) }

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
