import ScorefieldPaths
import ScorefieldTensorCore

/// When a state of ``PicardIteration`` counts as settled, by how far the last round moved it.
public enum PicardTolerance: Sendable, Equatable {
  /// The squared distance of the whole batch is at most this; 0 for the sequential end.
  case squaredDistance(Double)
  /// The mean square of every sample is at most `τ² σ²`, as published.
  case relativeToNoise(Double)

  /// Whether a state that moved so far has settled; a NaN has not.
  public func holds(_ change: Tensor, beside kernel: PerturbationKernel) -> Bool {
    switch self {
    case .squaredDistance(let bound): change.squared().sum().item <= bound
    case .relativeToNoise(let factor):
      change.flattened.squared().mean(-1).max().item <= factor * factor * kernel.sigma * kernel.sigma
    }
  }
}
