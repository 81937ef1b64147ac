import ScorefieldTensorCore

/// How unlikely a classifier finds a class for samples.
///
///     L = −log softmax(f(x))_c
///
/// - Cost: One evaluation of the classifier.
///
/// Source: Dhariwal & Nichol 2021, arXiv:2105.05233, section 4; at the end of a path instead of along it: Wang et al. 2025,
/// arXiv:2505.23264, section 5.
public struct ClassLoss<E: Error>: Sendable {
  /// `f`, the logits, `[B, …] → [B, K]`.
  public let classifier: @Sendable (Tensor) throws(E) -> Tensor
  /// `c`, one class, or one for each sample.
  public let classes: [Int]

  /// The loss of a class.
  ///
  /// - Parameters:
  ///   - classes: One class, or one for each sample.
  ///   - classifier: The logits, `[B, …] → [B, K]`, differentiable.
  public init(of classes: [Int], classifier: @escaping @Sendable (Tensor) throws(E) -> Tensor) {
    guard !classes.isEmpty, classes.allSatisfy({ $0 >= 0 }) else {
      fatalError("ClassLoss(of: \(classes)): needs classes from 0")
    }
    (self.classes, self.classifier) = (classes, classifier)
  }

  /// The loss of each sample, `[B, …] → [B]`.
  ///
  /// - Throws: What the classifier throws.
  public func callAsFunction(_ x: Tensor) throws(E) -> Tensor {
    let logits = try classifier(x)
    guard logits.rank == 2, logits.batch == x.batch, classes.allSatisfy({ $0 < logits.shape[1] }),
      classes.count == 1 || classes.count == x.batch
    else {
      fatalError("ClassLoss(\(x.shape)): the logits are \(logits.shape) for classes \(classes.prefix(3))")
    }
    return -logits.logSoftmax(-1).entries(classes)
  }
}
