import ScorefieldArrays
import ScorefieldTensorCore

/// A reward that is learned on top of features: layers `W h + b`, one after the other, the last with one output.
///
///     r(x) = (W_L … (W_1 f(x) + b_1) … + b_L)
///
/// Aesthetic predictors are such heads over image features; between their layers there may be a rectifier. Samples are steered
/// towards higher reward by the loss `−r`.
///
/// - Cost: `O(Σ m n)` per sample for layers of `m × n`.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, appendix C.4.
public struct RewardHead: Sendable {
  /// `W`, `[m, n]`, and `b`, `[m]`, of each layer.
  public let layers: [(weight: Tensor, bias: Tensor)]
  /// What lies between layers.
  public let activation: Activation

  /// What lies between the layers of a head.
  public enum Activation: String, Sendable, Codable, CaseIterable {
    /// Nothing.
    case none
    /// `max(h, 0)`.
    case relu
  }

  /// A head of layers.
  ///
  /// - Parameters:
  ///   - layers: `W`, `[m, n]`, and `b`, `[m]`, of each; the last has `m = 1`.
  ///   - activation: What lies between them.
  public init(_ layers: [(weight: Tensor, bias: Tensor)], activation: Activation = .none) {
    let shapes = layers.map(\.weight.shape)
    guard !layers.isEmpty, layers.allSatisfy({ $0.weight.rank == 2 && $0.bias.shape == [$0.weight.shape[0]] }),
      zip(shapes, shapes.dropFirst()).allSatisfy({ $0[0] == $1[1] }), shapes[shapes.count - 1][0] == 1
    else { fatalError("RewardHead(\(shapes)): needs [m, n] that follow one another, the last [1, n]") }
    (self.layers, self.activation) = (layers, activation)
  }

  /// A head of a `.safetensors` file: every tensor `*weight` with its `*bias`, in the order of the numbers in their names.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - type: The element type to compute in.
  ///   - activation: What lies between the layers.
  /// - Throws: Where the file cannot be read, or its tensors are no such layers.
  public init(_ path: String, type: ElementType, activation: Activation = .none) throws(ArrayFileError) {
    let file = try SafeTensorsFile(path)
    func bad(_ problem: String) -> ArrayFileError {
      ArrayFileError(
        path, .badData, problem, repair: "give layers as 'N.weight' [m, n] and 'N.bias' [m], the last with m = 1")
    }
    let names = file.names.filter { $0.hasSuffix("weight") }.sorted {
      Self.order($0).lexicographicallyPrecedes(Self.order($1))
    }
    guard !names.isEmpty else { throw bad("holds no tensor whose name ends in 'weight'") }
    var layers: [(weight: Tensor, bias: Tensor)] = []
    for name in names {
      let weight = Tensor(try file.array(named: name)).to(type)
      let other = name.dropLast(6) + "bias"
      guard weight.rank == 2 else { throw bad("'\(name)' has shape \(weight.shape)") }
      let bias =
        file.names.contains(String(other))
        ? Tensor(try file.array(named: String(other))).to(type) : Tensor.zeros([weight.shape[0]], type: type)
      guard bias.shape == [weight.shape[0]] else {
        throw bad("'\(other)' has shape \(bias.shape), '\(name)' \(weight.shape)")
      }
      guard layers.last.map({ $0.weight.shape[0] == weight.shape[1] }) ?? true else {
        throw bad("'\(name)' has shape \(weight.shape), the layer before it \(layers.last!.weight.shape)")
      }
      layers.append((weight, bias))
    }
    guard layers.last!.weight.shape[0] == 1 else {
      throw bad("the last layer has \(layers.last!.weight.shape[0]) outputs")
    }
    self.init(layers, activation: activation)
  }

  /// The numbers in a name.
  private static func order(_ name: String) -> [Int] {
    name.split(whereSeparator: { !$0.isASCII || !$0.isNumber }).compactMap { Int($0) }
  }

  /// How many numbers a sample's features must have.
  public var featureCount: Int { layers[0].weight.shape[1] }

  /// The reward of each sample, `[B, …] → [B]`, from its features.
  public func callAsFunction(_ features: Tensor) -> Tensor {
    let rows = features.flattened
    guard rows.shape[1] == featureCount else {
      fatalError("RewardHead(\(features.shape)): the first layer takes \(featureCount) numbers per sample")
    }
    var hidden = rows
    for (index, layer) in layers.enumerated() {
      if index > 0, activation == .relu { hidden = hidden.relu() }
      hidden = hidden.matmul(layer.weight.transposed) + layer.bias
    }
    return hidden.squeezed(-1)
  }
}
