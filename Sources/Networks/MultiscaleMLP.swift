import ScorefieldArrays
import ScorefieldTensorCore

/// An MLP that sees points of few dimensions at every scale down to that of their noise.
///
/// Beside the point in units of its spread and the features of its noise go plane waves, faded where the noise is wider than
/// they are. It must know the scale: `noise` is `log k` and `x` is `y/√(s² + k²)`,
/// which is what preconditioning for data of standard deviation `s` gives.
public struct MultiscaleMLP: Network {
  /// What it is made by.
  public struct Configuration: Codable, Sendable, Equatable {
    /// The length of a point.
    public var dimension: Int
    public var width, depth: Int
    /// `s`.
    public var sigmaData: Double
    public var waves: FourierFeatures.Configuration
    /// The length of a condition; 0 for none.
    public var conditionWidth: Int

    public init(
      dimension: Int, width: Int = 256, depth: Int = 3, sigmaData: Double,
      waves: FourierFeatures.Configuration = .init(), conditionWidth: Int = 0
    ) {
      (self.dimension, self.width, self.depth, self.sigmaData) = (dimension, width, depth, sigmaData)
      (self.waves, self.conditionWidth) = (waves, conditionWidth)
    }

    /// Why no network can be made of it; nil where one can.
    public var problem: String? {
      guard dimension > 0, width > 0, depth > 0, sigmaData > 0, sigmaData.isFinite, conditionWidth >= 0
      else { return "dimension, width and depth are at least 1, and sigmaData is above 0" }
      return waves.problem
    }
  }

  public let configuration: Configuration
  private let waves: FourierFeatures
  private let noiseFeatures: SinusoidalFeatures
  private var layers: [Linear]
  private var last: Linear

  public var featureWidth: Int { configuration.width }

  /// A network with random parameters, `float32`.
  public init(_ configuration: Configuration, using generator: inout Generator) {
    if let problem = configuration.problem { fatalError("MultiscaleMLP(\(configuration)): \(problem)") }
    self.configuration = configuration
    waves = FourierFeatures(configuration.waves, dimension: configuration.dimension)
    noiseFeatures = SinusoidalFeatures(3, from: 0.5, to: 2)
    let inputs = configuration.dimension + noiseFeatures.count + waves.count + configuration.conditionWidth
    layers = Linear.stack(inputs, width: configuration.width, depth: configuration.depth, using: &generator)
    last = Linear(configuration.width, configuration.dimension, using: &generator)
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) {
    visitor(&layers, "layers")
    visitor(&last, "last")
  }

  public func features(_ x: Tensor, noise: Tensor, condition: Tensor?) -> Tensor {
    let (rows, type) = (x.flattened, x.elementType)
    // Fine waves want more digits than a narrow type has.
    let wide = type.bitWidth < 32 ? ElementType.float32 : type
    let k = noise.to(wide).exp().expanded(at: 1)
    let y = rows.to(wide) * (k.squared() + configuration.sigmaData * configuration.sigmaData).sqrt()
    var inputs = [rows, noiseFeatures(noise).to(type), waves(y, noise: k).to(type)]
    if configuration.conditionWidth > 0 {
      inputs.append(condition ?? .zeros([x.batch, configuration.conditionWidth], type: type, on: x.device))
    }
    return layers.reduce(Tensor.concatenated(inputs, 1)) { $1($0).silu() }
  }

  public func output(of features: Tensor, like x: Tensor) -> Tensor { last(features).reshaped(x.shape) }
}
