import ScorefieldNetworks
import ScorefieldPaths
import ScorefieldTensorCore

/// A classifier of noisy states, which classifier guidance follows.
///
///     p(c | x, t) = softmax(W f(c_in x, log(σ/α)) + b)_c,   c_in = 1/√(α² σ_d² + σ²)
///
/// Its trunk is any network, of which only the features are read; features of images are averaged over their pixels. Of the data's
/// classes given the noisy state, trained by the cross-entropy at all noise levels, it knows at each level what can be known there.
///
/// - Cost: One evaluation of the trunk.
///
/// Source: Dhariwal & Nichol 2021, arXiv:2105.05233, section 4; Lai et al. 2025, arXiv:2510.21890, eqs. 8.2.1–8.2.4.
public struct NoisyClassifier: Module {
  public var trunk: any Network
  private var last: Linear
  public let schedule: any NoiseSchedule
  /// `σ_d`, the standard deviation of the data that the trunk expects.
  public let sigmaData: Double
  /// `K`.
  public var classCount: Int { last.weight.shape[0] }

  /// A classifier that finds all classes equally likely until it is trained.
  ///
  /// - Parameters:
  ///   - trunk: The network whose features it reads.
  ///   - classCount: The number of classes.
  ///   - sigmaData: The standard deviation of the data.
  ///   - schedule: How the data become noise.
  ///   - generator: Where the numbers come from.
  public init(
    _ trunk: any Network, classes classCount: Int, sigmaData: Double, on schedule: any NoiseSchedule,
    using generator: inout Generator
  ) {
    guard classCount > 1, sigmaData > 0, sigmaData.isFinite else {
      fatalError("NoisyClassifier(classes: \(classCount), sigmaData: \(sigmaData)): needs two classes and σ_d > 0")
    }
    (self.trunk, self.schedule, self.sigmaData) = (trunk, schedule, sigmaData)
    last = Linear(trunk.featureWidth, classCount, gain: 0, using: &generator)
  }

  public mutating func visit(_ visitor: inout ParameterVisitor) {
    visitor(&trunk, "trunk")
    visitor(&last, "last")
  }

  /// How the trunk is asked; its own output is not.
  public var preconditioning: Preconditioning { Preconditioning(.data, sigmaData: sigmaData) }

  /// The logits, from what the trunk is given.
  ///
  /// - Parameters:
  ///   - x: `c_in x`, shape `[B, …]`.
  ///   - noise: `log(σ/α)` of each, shape `[B]`.
  /// - Returns: Shape `[B, K]`.
  public func logits(_ x: Tensor, noise: Tensor) -> Tensor {
    last(trunk.features(x, noise: noise, condition: nil).pooledFeatures)
  }

  /// `log p(c | x, t)` of all classes.
  ///
  /// - Parameters:
  ///   - x: Noisy states, shape `[B, …]`.
  ///   - t: Their time.
  /// - Returns: Shape `[B, K]`, in the element type of the states.
  public func logProbabilities(_ x: Tensor, at t: Double) -> Tensor {
    let question = preconditioning.question(
      x, at: schedule.kernel(at: t), condition: nil, type: trunk.elementType)
    return logits(question.x, noise: question.noise).to(x.elementType).logSoftmax(-1)
  }

  /// `log p(c | x, t)` of chosen classes, as ``ScoreGuidance`` takes it.
  ///
  /// - Parameter classes: One class, or one for each sample.
  /// - Returns: `[B, …], t → [B]`.
  public func logProbability(of classes: [Int]) -> @Sendable (Tensor, Double) -> Tensor {
    guard !classes.isEmpty, classes.allSatisfy((0..<classCount).contains) else {
      fatalError("NoisyClassifier.logProbability(of: \(classes)): needs classes from 0 to \(classCount - 1)")
    }
    return { x, t in
      guard classes.count == 1 || classes.count == x.batch else {
        fatalError("NoisyClassifier.logProbability(of:)(\(x.shape)): \(classes.count) classes; needs 1 or \(x.batch)")
      }
      return logProbabilities(x, at: t).entries(classes)
    }
  }
}
