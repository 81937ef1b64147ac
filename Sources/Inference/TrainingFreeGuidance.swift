import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// A DDIM step that is corrected by a loss of the estimate, in the space of the data or in that of the noise.
///
///     x_s = α_s (x̂₀' + η₀ 𝒢₀) − σ_s σ_t ŝ',   ŝ' = ŝ + η_t 𝒢_t,   x̂₀' = (x + σ_t² ŝ')/α_t
///     𝒢₀ = −∇ ℓ(x̂₀'),   𝒢_t = −∇ₓ ℓ(x̂₀(x))
///
/// In the space of the data the loss alone is differentiated, and as often as is wanted; in that of the noise the gradient goes
/// through the denoiser. There the estimate follows the corrected score: with the estimate of the score that was, as the formula is
/// sometimes printed, the step goes up the loss. A step may be taken several times over, with noise that takes the state back in
/// between.
///
/// - Order: 1. One denoiser evaluation per step and repetition, with a pass back where the noise is corrected.
///
/// Source: He et al. 2024, arXiv:2311.16424 (data space); Yu et al. 2023, arXiv:2303.09833, algorithm 1 (noise space);
/// Bansal et al. 2023, arXiv:2302.07121, algorithm 1 (both, repeated).
public struct TrainingFreeGuidance: Solver {
  /// `ℓ` of each sample, `[B, …] → [B]`, differentiable.
  public let loss: @Sendable (Tensor) -> Tensor
  /// `η₀` and how many steps down the loss it is used for.
  public let dataStrength: GuidanceScale
  public let dataSteps: Int
  /// `η_t`.
  public let noiseStrength: GuidanceScale
  /// How often a step is taken.
  public let repetitions: Int
  /// The noise that takes a state back.
  public let noise: NoiseSource

  /// In both spaces (universal guidance).
  ///
  /// - Parameters:
  ///   - noiseStrength: `η_t`; 0 for the space of the data alone.
  ///   - dataStrength: `η₀`.
  ///   - dataSteps: How many steps down the loss are taken in the space of the data; 0 for that of the noise alone.
  ///   - repetitions: How often a step is taken.
  ///   - noise: The noise that takes a state back in between.
  ///   - loss: `ℓ` of each sample, `[B, …] → [B]`, differentiable.
  public init(
    noiseStrength: Double, dataStrength: Double, dataSteps: Int, repetitions: Int = 1, noise: NoiseSource = .seed(0),
    of loss: @escaping @Sendable (Tensor) -> Tensor
  ) {
    self.init(
      noiseStrength: .constant(noiseStrength), dataStrength: .constant(dataStrength), dataSteps: dataSteps,
      repetitions: repetitions, noise: noise, of: loss)
  }

  /// The same with strengths that depend on the time.
  public init(
    noiseStrength: GuidanceScale, dataStrength: GuidanceScale, dataSteps: Int, repetitions: Int = 1,
    noise: NoiseSource = .seed(0), of loss: @escaping @Sendable (Tensor) -> Tensor
  ) {
    guard dataSteps >= 0, repetitions > 0 else {
      fatalError(
        "TrainingFreeGuidance(dataSteps: \(dataSteps), repetitions: \(repetitions)): needs at least one repetition")
    }
    (self.loss, self.noiseStrength, self.dataStrength, self.dataSteps) = (loss, noiseStrength, dataStrength, dataSteps)
    (self.repetitions, self.noise) = (repetitions, noise)
  }

  /// In the space of the data alone (MPGD without its manifold): no pass back through the denoiser.
  public static func data(
    strength: Double, steps: Int = 1, of loss: @escaping @Sendable (Tensor) -> Tensor
  ) -> TrainingFreeGuidance {
    TrainingFreeGuidance(noiseStrength: 0, dataStrength: strength, dataSteps: steps, of: loss)
  }

  /// In the space of the noise alone (FreeDoM), each step `repetitions` times.
  public static func noise(
    strength: Double, repetitions: Int = 1, noise: NoiseSource = .seed(0),
    of loss: @escaping @Sendable (Tensor) -> Tensor
  ) -> TrainingFreeGuidance {
    TrainingFreeGuidance(
      noiseStrength: strength, dataStrength: 0, dataSteps: 0, repetitions: repetitions, noise: noise, of: loss)
  }

  public func makeMemory() -> NoiseStream { NoiseStream(noise) }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout NoiseStream
  ) -> Tensor {
    let (now, next) = (field.schedule.kernel(at: t), field.schedule.kernel(at: s))
    let (noiseStrength, dataStrength) = (noiseStrength(at: t), dataStrength(at: t))
    var state = x
    for repetition in 1...repetitions {
      var estimate: Tensor
      if noiseStrength == 0 {
        estimate = field.denoise(state, at: t)
      } else {
        let (data, pullback) = vjp(at: state) { field.denoise($0, at: t) }
        // Tweedie's formula of the score ŝ + η_t 𝒢_t.
        estimate = data - (noiseStrength * now.sigma * now.sigma / now.alpha) * pullback(slope(at: data))
      }
      var data = estimate
      for _ in 0..<dataSteps {
        data -= dataStrength * slope(at: data)
      }
      let end = exactForConstantData(state, estimate, from: now, to: next) + next.alpha * (data - estimate)
      guard repetition < repetitions else { return end }
      // Back to `t` by the forward process.
      let kept = now.alpha / next.alpha
      let added = max(0, now.sigma * now.sigma - kept * kept * next.sigma * next.sigma).squareRoot()
      state = kept * end + added * memory.draw(like: end)
    }
    return state
  }

  /// `∇ℓ`.
  private func slope(at data: Tensor) -> Tensor {
    let (losses, pullback) = vjp(at: data) { [loss] in loss($0) }
    guard losses.shape == [data.batch] else {
      fatalError(
        "TrainingFreeGuidance.step(\(data.shape)): the loss has shape \(losses.shape); needs one per sample, "
          + "[\(data.batch)]")
    }
    return pullback(.ones(like: losses))
  }
}
