import ScorefieldFields
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

extension LinearMeasurement {
  /// `A† y`, the shortest of the samples that come nearest to a measurement, by conjugate gradients.
  ///
  /// - Cost: One `A` and one `Aᵀ` per iteration.
  /// - Parameters:
  ///   - y: What was seen, `[B, …]`.
  ///   - x: A batch of the samples' shape; its values do not matter.
  ///   - iterations: The most iterations; as many as there are numbers seen where left out.
  ///   - tolerance: The slope they end at, relative to that at the start.
  /// - Returns: The shape of `x`.
  public func pseudoInverse(
    of y: Tensor, like x: Tensor, iterations: Int? = nil, tolerance: Double = 1e-14
  ) -> Tensor {
    let inner = [x.batch] + [Int](repeating: 1, count: x.rank - 1)
    let seen = [x.batch] + [Int](repeating: 1, count: y.rank - 1)
    var solution = Tensor.zeros(like: x)
    var residual = y
    var slope = adjoint(residual, like: x)
    var direction = slope
    var square = slope.flattened.squared().sum(-1)
    let target = (tolerance * tolerance) * square
    for _ in 0..<(iterations ?? 2 * y.flattened.shape[1]) {
      let image = apply(direction)
      let length = image.flattened.squared().sum(-1)
      // Samples that have arrived stay where they are.
      let step = (square / length).replacing(with: 0, where: square .<= target).replacing(with: 0, where: length .<= 0)
      solution += step.reshaped(inner) * direction
      residual -= step.reshaped(seen) * image
      slope = adjoint(residual, like: x)
      let next = slope.flattened.squared().sum(-1)
      guard (next .> target).any() else { break }
      direction = slope + (next / square).replacing(with: 0, where: step .== 0).reshaped(inner) * direction
      square = next
    }
    return solution
  }
}

/// A solver whose states are made to agree with a measurement after every step, at the noise of their time.
///
///     y_s = α_s y + σ_s ξ
///     x ← x + A† (y_s − A x)          projection (ILVR)
///     x ← x + γ Aᵀ (y_s − A x)        gradient (Score-SDE)
///
/// Neither is the posterior: what is not seen only follows from what is through the model's next steps.
///
/// - Cost: That of the solver, and of `A†`, or of `A` and `Aᵀ`, per step.
///
/// Source: Choi et al. 2021, arXiv:2108.02938, algorithm 1; Song et al. 2021, arXiv:2011.13456, appendix I.4, with the sign of
/// `y_s − A x`.
public struct MeasurementConsistency<Base: Solver>: Solver where Base.Field == any Denoiser {
  public let base: Base
  public let measurement: any LinearMeasurement
  /// `y`, `[B, …]` or `[1, …]` for all.
  public let observed: Tensor
  public let correction: Correction
  public let noise: NoiseSource

  /// How a state is moved.
  public enum Correction: Sendable {
    /// All of the way, at once.
    case projection
    /// `γ` times the slope of `−½ |y − A x|²`.
    case gradient(Double)
  }

  /// A solver that keeps to a measurement.
  ///
  /// - Parameters:
  ///   - base: The solver.
  ///   - measurement: `A`.
  ///   - observed: `y`, `[B, …]` or `[1, …]` for all.
  ///   - correction: How a state is moved.
  ///   - noise: The noise of what is seen.
  public init(
    _ base: Base, _ measurement: any LinearMeasurement, observed: Tensor, by correction: Correction = .projection,
    noise: NoiseSource
  ) {
    (self.base, self.measurement, self.observed) = (base, measurement, observed)
    (self.correction, self.noise) = (correction, noise)
  }

  public struct Memory: Sendable {
    fileprivate var base: Base.Memory
    fileprivate var noise: NoiseStream
  }

  public func makeMemory() -> Memory { Memory(base: base.makeMemory(), noise: NoiseStream(noise)) }
  public func outcome(_ memory: Memory) -> Outcome { base.outcome(memory.base) }

  public func step(
    _ x: Tensor, from t: Double, to s: Double, in field: any Denoiser, memory: inout Memory
  ) -> Tensor {
    let state = base.step(x, from: t, to: s, in: field, memory: &memory.base)
    let seen = measurement.apply(state)
    guard seen.shape.dropFirst() == observed.shape.dropFirst(), [1, x.batch].contains(observed.batch) else {
      fatalError(
        "MeasurementConsistency(observed: \(observed.shape)): a measurement of \(x.shape) has shape \(seen.shape)")
    }
    let kernel = field.schedule.kernel(at: s)
    let clean = kernel.alpha * observed.to(seen.elementType)
    let noisy = kernel.sigma == 0 ? clean : clean + kernel.sigma * memory.noise.draw(like: seen)
    return state + move(noisy - seen, state)
  }

  private func move(_ error: Tensor, _ state: Tensor) -> Tensor {
    switch correction {
    case .projection: measurement.pseudoInverse(of: error, like: state)
    case .gradient(let strength): strength * measurement.adjoint(error, like: state)
    }
  }
}
