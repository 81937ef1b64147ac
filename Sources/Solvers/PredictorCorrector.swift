import ScorefieldFields
import ScorefieldTensorCore

/// Any solver's step to the next time, and Langevin steps there to mend the density.
///
///     x ← predictor(x, t → s),   then   x ← x + η ∇ log p_s(x) + √(2η) ξ
///
/// - Order: the predictor's where it is 1; the corrector's error is `O(η)`. The predictor's evaluations and one for each
///   step of the corrector.
///
/// Source: Song et al. 2021, arXiv:2011.13456, algorithm 1.
public struct PredictorCorrector<Predictor: Solver>: Solver where Predictor.Field == any Denoiser {
  public let predictor: Predictor
  public let corrector: Langevin
  /// The corrector's noise; its draws are not those of a predictor with the same seed.
  public let noise: NoiseSource

  public struct Memory: Sendable {
    fileprivate var predictor: Predictor.Memory
    fileprivate var noise: NoiseStream
  }

  /// A predictor with a corrector behind it.
  public init(_ predictor: Predictor, corrector: Langevin, noise: NoiseSource) {
    (self.predictor, self.corrector, self.noise) = (predictor, corrector, noise)
  }

  public func makeMemory() -> Memory {
    Memory(predictor: predictor.makeMemory(), noise: NoiseStream(noise, number: 1))
  }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout Memory
  ) -> Tensor {
    let predicted = predictor.step(x, from: t, to: s, in: field, memory: &memory.predictor)
    return corrector(predicted, at: s, in: field, noise: &memory.noise)
  }

  public func outcome(_ memory: Memory) -> Outcome { predictor.outcome(memory.predictor) }
}
