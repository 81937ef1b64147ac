import ScorefieldArrays
import ScorefieldCheckpoints
import ScorefieldNetworks
import ScorefieldTensorCore

/// Training, step by step: all of its state, in a value that can be saved and gone on from.
///
///     for batch in batches { let step = run.advance(on: batch) }
///
/// The same state, batches and thread count give the same bits.
public struct TrainingRun<O: Objective>: Sendable {
  public let objective: O
  public let settings: TrainingSettings
  /// How many steps were done.
  public private(set) var step: Int
  /// The model as it was before the first step; its architecture is what matters of it.
  private let architecture: O.Model
  private var parameters: [Tensor]
  private var optimizer: AdamW
  private var averaging: any WeightAverage
  private var generator: Generator

  /// A run from the beginning.
  ///
  /// - Parameters:
  ///   - model: The model, with the parameters to start from.
  ///   - objective: What is made small.
  ///   - settings: How.
  ///   - averaging: The average of the parameters that is what one uses.
  ///   - generator: Where times and noise come from.
  public init(
    _ model: O.Model, _ objective: O, settings: TrainingSettings, averaging: any WeightAverage, generator: Generator
  ) {
    (self.objective, self.settings, architecture, step) = (objective, settings, model, 0)
    parameters = model.parameters
    optimizer = AdamW(
      for: parameters, beta1: settings.beta1, beta2: settings.beta2, epsilon: settings.epsilon,
      weightDecay: settings.weightDecay)
    (self.averaging, self.generator) = (averaging, generator)
  }

  /// The model with the parameters of the last step.
  public var model: O.Model { architecture.replacing(parameters: parameters) }
  /// The model with the averaged parameters.
  public var averagedModel: O.Model { architecture.replacing(parameters: averaging.average) }

  /// Whether all parameters and their average are numbers.
  public var isFinite: Bool { (parameters + averaging.average).allSatisfy { $0.isFinite().all() } }

  /// What one step came to.
  public struct Step: Sendable {
    /// The mean loss of the batch, before the step.
    public let loss: Double
    /// The norm of all gradients together, before they were cut.
    public let gradientNorm: Double
    public let learningRate: Double
    /// Whether loss and gradients were numbers; where they were not, nothing was changed but the count of steps and the
    /// generator.
    public var isFinite: Bool { loss.isFinite && gradientNorm.isFinite }
  }

  /// Takes one step on a batch.
  public mutating func advance(on batch: TrainingBatch) -> Step {
    let (objective, architecture, precision) = (objective, architecture, settings.precision)
    let (loss, found) = valueAndGradients(at: parameters) { parameters in
      let used = precision.map { type in parameters.map { $0.to(type) } } ?? parameters
      return objective.loss(of: architecture.replacing(parameters: used), on: batch, using: &generator).mean()
    }
    var gradients = found
    let norm = settings.clipping?(&gradients) ?? globalNorm(of: gradients)
    step += 1
    let rate = settings.learningRate.rate(at: step)
    let result = Step(loss: loss.item, gradientNorm: norm, learningRate: rate)
    guard result.isFinite else { return result }
    optimizer.step(&parameters, gradients: gradients, learningRate: rate)
    averaging.update(with: parameters, step: step)
    return result
  }
}

// MARK: Saving and going on

extension TrainingRun {
  /// Everything that changes, by name: parameters, moments, average, and the generator's state.
  public var state: [(name: String, tensor: Tensor)] {
    let names = architecture.namedParameters.map(\.name)
    func named(_ prefix: String, _ tensors: [Tensor]) -> [(name: String, tensor: Tensor)] {
      zip(names, tensors).map { (name: "\(prefix).\($0)", tensor: $1) }
    }
    return named("parameters", parameters) + named("optimizer.first", optimizer.state.firstMoments)
      + named("optimizer.second", optimizer.state.secondMoments) + named("average", averaging.average)
      + [
        (name: "optimizer.steps", tensor: Tensor([optimizer.state.steps])),
        (name: "generator", tensor: generator.saved),
      ]
  }

  /// The run as it was when its state was taken.
  ///
  /// - Parameters:
  ///   - state: What ``state`` was.
  ///   - step: How many steps were done.
  ///   - path: Where it comes from; errors begin with it.
  /// - Returns: The run.
  /// - Throws: Where something is missing or has another shape.
  public func restored(
    from state: [String: Tensor], step: Int, path: String
  ) throws(ArrayFileError) -> TrainingRun {
    func part(_ prefix: String) throws(ArrayFileError) -> [Tensor] {
      try architecture.loading(state, under: prefix, from: path).parameters
    }
    guard let generator = state["generator"], let steps = state["optimizer.steps"]?.integers.first else {
      throw ArrayFileError(
        path, .badData, "has no state of the generator or the optimiser", repair: "start afresh in another folder")
    }
    var copy = self
    copy.step = step
    copy.parameters = try part("parameters")
    copy.optimizer = AdamW(
      restoring: .init(
        firstMoments: try part("optimizer.first"), secondMoments: try part("optimizer.second"), steps: steps),
      beta1: settings.beta1, beta2: settings.beta2, epsilon: settings.epsilon, weightDecay: settings.weightDecay)
    copy.averaging.average = try part("average")
    copy.generator = Generator(restoring: generator)
    return copy
  }
}
