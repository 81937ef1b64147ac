import ScorefieldArrays
import ScorefieldFields
import ScorefieldFisher
import ScorefieldNetworks
import ScorefieldPaths
import ScorefieldTensorCore

/// A model as training makes it and a checkpoint holds it: a denoiser, with a trace head or without.
public enum TrainedModel: Module {
  case denoiser(NetworkDenoiser)
  case traceMatched(TraceMatchedDenoiser)

  /// A model with random parameters.
  ///
  /// - Parameters:
  ///   - configuration: What it is to be.
  ///   - generator: Where the parameters come from.
  /// - Throws: Where the configuration names no schedule.
  public init(
    _ configuration: ModelConfiguration, using generator: inout Generator
  ) throws(ScheduleDescription.Problem) {
    let schedule = try configuration.schedule.schedule()
    let network = configuration.network.network(using: &generator)
    let preconditioning = configuration.preconditioning
    // Means over the few channels of a U-Net's last map want a layer of their own; an MLP's features are the last of many.
    var scalarWidth: Int?
    if case .unet = configuration.network { scalarWidth = network.featureWidth }
    if let trace = configuration.trace {
      self = .traceMatched(
        TraceMatchedDenoiser(
          TwoHeaded(network, scalarWidth: scalarWidth, using: &generator), preconditioning,
          form: trace.form(sigmaData: configuration.sigmaData), on: schedule))
    } else {
      self = .denoiser(NetworkDenoiser(network, preconditioning, on: schedule))
    }
  }

  /// The model a checkpoint folder holds, with the weights that are to be used.
  ///
  /// - Parameter folder: The folder.
  /// - Throws: Where a file of it is missing or damaged, or they do not belong together.
  public init(checkpoint folder: CheckpointFolder) throws(ArrayFileError) {
    try self.init(folder.readModelConfiguration(), from: folder)
  }

  /// The model of a configuration, with the weights in a checkpoint folder.
  public init(_ configuration: ModelConfiguration, from folder: CheckpointFolder) throws(ArrayFileError) {
    var generator = Generator(seed: 0)
    let empty: TrainedModel
    do throws(ScheduleDescription.Problem) {
      empty = try TrainedModel(configuration, using: &generator)
    } catch {
      throw ArrayFileError(folder.configurationPath, .badData, error.problem, repair: error.repair)
    }
    self = try empty.loading(folder.readModel())
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) {
    switch self {
    case .denoiser(var model):
      model.visit(&visitor)
      self = .denoiser(model)
    case .traceMatched(var model):
      model.visit(&visitor)
      self = .traceMatched(model)
    }
  }

  /// The denoiser, whatever is beside it.
  public var denoiser: any Denoiser {
    switch self {
    case .denoiser(let model): model
    case .traceMatched(let model): model
    }
  }

  /// The denoiser with its trace; nil where there is no trace head.
  public var traced: TraceMatchedDenoiser? {
    switch self {
    case .denoiser: nil
    case .traceMatched(let model): model
    }
  }

  /// The same model under a condition, shape `[1, c]` or `[B, c]`.
  public func conditioned(on condition: Tensor?) -> TrainedModel {
    switch self {
    case .denoiser(let model): .denoiser(model.conditioned(on: condition))
    case .traceMatched(let model): .traceMatched(model.conditioned(on: condition))
    }
  }
}
