import ScorefieldTensorCore

/// A stack of fully connected layers with SiLU between, for points of a few dimensions to a few hundred.
///
/// The point, the features of its noise and its condition go in side by side. An activation is `x·sigmoid(x)`.
///
/// Source: Rumelhart, Hinton & Williams 1986, doi:10.1038/323533a0; Hendrycks & Gimpel 2016, arXiv:1606.08415, for SiLU.
public struct MLP: Network {
  /// What an MLP is made by.
  public struct Configuration: Codable, Sendable, Equatable {
    /// The length of a point.
    public var dimension: Int
    /// Units of each hidden layer.
    public var width: Int
    /// The number of hidden layers.
    public var depth: Int
    /// The length of a condition; 0 for none.
    public var conditionWidth: Int

    public init(dimension: Int, width: Int = 128, depth: Int = 4, conditionWidth: Int = 0) {
      (self.dimension, self.width, self.depth) = (dimension, width, depth)
      self.conditionWidth = conditionWidth
    }

    /// Why no network can be made of it; nil where one can.
    public var problem: String? {
      dimension > 0 && width > 0 && depth > 0 && conditionWidth >= 0 ? nil : "dimension, width and depth are at least 1"
    }
  }

  public let configuration: Configuration
  private var layers: [Linear]
  private var last: Linear
  private let noiseFeatures: SinusoidalFeatures

  public var featureWidth: Int { configuration.width }

  /// A network with random parameters, `float32`.
  public init(_ configuration: Configuration, using generator: inout Generator) {
    if let problem = configuration.problem { fatalError("MLP(\(configuration)): \(problem)") }
    self.configuration = configuration
    noiseFeatures = SinusoidalFeatures(4, from: 0.5, to: 4)
    let inputs = configuration.dimension + noiseFeatures.count + configuration.conditionWidth
    layers = Linear.stack(inputs, width: configuration.width, depth: configuration.depth, using: &generator)
    last = Linear(configuration.width, configuration.dimension, using: &generator)
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) {
    visitor(&layers, "layers")
    visitor(&last, "last")
  }

  public func features(_ x: Tensor, noise: Tensor, condition: Tensor?) -> Tensor {
    var inputs = [x.flattened, noiseFeatures(noise).to(x.elementType)]
    if configuration.conditionWidth > 0 {
      inputs.append(condition ?? .zeros([x.batch, configuration.conditionWidth], type: x.elementType, on: x.device))
    }
    return layers.reduce(Tensor.concatenated(inputs, 1)) { $1($0).silu() }
  }

  public func output(of features: Tensor, like x: Tensor) -> Tensor { last(features).reshaped(x.shape) }
}
