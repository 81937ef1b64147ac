import Scorefield

/// A loss of samples, as `--loss` and `--measurement` name it.
struct LossInput {
  let name: String
  private let target: ArrayInput
  private let seen: Seen

  private enum Seen {
    case all
    case mask(ArrayInput)
    case downsampling(Int)
    case blur(Double)
    case matrix(ArrayInput)
  }

  init(_ text: String, measurement: String) throws {
    guard let colon = text.firstIndex(of: ":"), text[..<colon] == "target", text.index(after: colon) < text.endIndex
    else {
      throw Failure.option("--loss", "'\(text)' is no loss", repair: "write target:FILE.npy")
    }
    name = text
    target = try ArrayInput(String(text[text.index(after: colon)...]))
    let parts = measurement.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let value = parts.count > 1 ? parts[1] : nil
    func missing(_ what: String) -> Failure {
      .option("--measurement", "'\(measurement)' lacks \(what)", repair: "write \(parts[0]):\(what)")
    }
    switch parts[0] {
    case "none" where value == nil: seen = .all
    case "inpaint":
      guard let value, !value.isEmpty else { throw missing("MASK.npy") }
      seen = .mask(try ArrayInput(value))
    case "matrix":
      guard let value, !value.isEmpty else { throw missing("FILE.npy") }
      seen = .matrix(try ArrayInput(value))
    case "downsample":
      guard let factor = value.flatMap(Int.init), factor > 0 else { throw missing("a whole factor") }
      seen = .downsampling(factor)
    case "blur":
      guard let width = value.flatMap(Double.init), width > 0, width <= 10 else {
        throw missing("a width in pixels, up to 10")
      }
      seen = .blur(width)
    default:
      throw Failure.option(
        "--measurement", "'\(measurement)' is no measurement",
        repair: "use none, inpaint:MASK.npy, downsample:n, blur:width or matrix:FILE.npy")
    }
  }

  /// What is seen of the samples of a model.
  func measurement(of model: LoadedModel) throws -> any Measurement {
    switch seen {
    case .all: return MaskMeasurement(.ones(model.sampleShape, type: model.type))
    case .mask(let input):
      let mask = try input.values(model.type)
      guard mask.shape == model.sampleShape || mask.shape == [1] + model.sampleShape else {
        throw Failure(
          .badData, input.path, "has shape \(mask.shape), the samples \(model.sampleShape)",
          repair: "give one number for each of a sample's")
      }
      return MaskMeasurement(mask.reshaped(model.sampleShape))
    case .matrix(let input):
      let matrix = try input.values(model.type)
      guard matrix.rank == 2, matrix.shape[1] == model.dimension else {
        throw Failure(
          .badData, input.path, "has shape \(matrix.shape), and a sample has \(model.dimension) numbers",
          repair: "give [m, \(model.dimension)]")
      }
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

  /// What was seen, `[1, …]` or one for each sample, measured on the target.
  func observed(_ measurement: any Measurement, model: LoadedModel, count: Int, levels: Int) throws -> Tensor {
    try model.accepts(target)
    let samples = model.arranged(try target.data(model.type, levels: levels), of: target)
    guard samples.batch == 1 || samples.batch == count else {
      throw Failure(
        .badData, target.path, "holds \(samples.batch) targets for \(count) samples",
        repair: "give one, or one for each")
    }
    return measurement.apply(samples.reshaped([samples.batch] + model.sampleShape))
  }

  private func image(of model: LoadedModel) throws(Failure) {
    guard model.sampleShape.count >= 2 else {
      throw .option(
        "--measurement", "needs images, and samples have shape \(model.sampleShape)", repair: "use inpaint or matrix")
    }
  }
}
