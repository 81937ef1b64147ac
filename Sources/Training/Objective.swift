import ScorefieldNetworks
import ScorefieldTensorCore

/// What training makes small.
public protocol Objective<Model>: Sendable {
  associatedtype Model: Module
  /// The loss of each sample, shape `[B]`; what is minimised is its mean.
  func loss(of model: Model, on batch: TrainingBatch, using generator: inout Generator) -> Tensor
}

/// Some of the data.
public struct TrainingBatch: Sendable {
  /// Shape `[B, …]`.
  public let data: Tensor
  /// What is known of each, shape `[B, c]`; nil for nothing.
  public let condition: Tensor?

  public init(_ data: Tensor, condition: Tensor? = nil) { (self.data, self.condition) = (data, condition) }
}
