import ScorefieldFields
import ScorefieldFisher
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// Where a path led, and the gradient of a loss there with respect to where it began.
public struct AdjointGradient: Sendable {
  /// The end of the path, `x̂₀` of its last state where that was asked for, shape `[B, …]`.
  public let endpoint: Tensor
  /// The loss of each sample, shape `[B]`.
  public let loss: Tensor
  /// `∂L/∂x` at the beginning, shape `[B, …]`; NaN for samples whose loss or its gradient is no number, which leave the others as they are.
  public let gradient: Tensor
  /// Evaluations of the denoiser on the way and of the products back, as far as steps count them.
  public let products: Int
}

/// The gradient of a loss of the end of a path with respect to its beginning: the adjoint, without a record of the path.
///
///     λ_end = ∂L/∂x_end,   λ_t = (∂x_s/∂x_t)ᵀ λ_s,   (∂x̂₀/∂x)ᵀ η = (η − σ² Fᵀ η)/α
///
/// The steps go back as they came (the discrete adjoint): with ``VJPFisher`` the gradient is that of differentiating through
/// all of the sampler, to rounding. With another access it is what the access makes of it, without a graph of the model.
///
/// - Cost: One path and one product per estimate, of which the points and answers are kept. Of more than 16 steps of a method without memory
///   those of `√n` are, beside as many states, and the path is walked twice.
/// - Parameters:
///   - x: The beginning, shape `[B, …]`.
///   - denoiser: The model.
///   - fisher: The products `Fᵀ v`: ``VJPFisher`` for what is exact of a network, ``ExactFisher`` of an exact field.
///   - solver: How the path is stepped: any method of the house, with noise too, which is the same on the way back. Methods for velocities go
///     by ``Solver/alongProbabilityFlow``; one that differentiates the model itself is refused.
///   - grid: The times, from the beginning's to the end's.
///   - finalDenoise: Whether the end is the estimate at the last state, or that state.
///   - loss: The loss of each sample, `[B, …] → [B]`, differentiable.
/// - Returns: The end, its loss and the gradient.
/// - Throws: What the loss throws.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, section 5 and eq. 18; that pairing each step with its own adjoint makes the gradient
/// exact: Matsubara, Miyatake & Yaguchi 2021, arXiv:2102.09750.
public func adjointGradient<F: FisherAccess, E: Error>(
  at x: Tensor, under denoiser: any Denoiser, fisher: F, stepping solver: some Solver<any Denoiser>,
  along grid: TimeGrid,
  finalDenoise: Bool = true, of loss: (Tensor) throws(E) -> Tensor
) throws(E) -> AdjointGradient where F.Operator: FisherMatvec {
  try adjointGradient(
    at: x, under: denoiser, fisher: { _ in fisher }, stepping: solver, along: grid, finalDenoise: finalDenoise, of: loss
  )
}

/// The same with products that stand on the end of the path, such as ``EndpointFisher``'s and
/// ``FiniteDifferenceFisher/secant(_:over:upTo:)``'s.
///
/// - Parameters:
///   - x: The beginning, shape `[B, …]`.
///   - denoiser: The model.
///   - fisher: The products `Fᵀ v`, from the end of the path.
///   - solver: How the path is stepped: any method of the house, with noise too, which is the same on the way back. Methods for velocities go
///     by ``Solver/alongProbabilityFlow``; one that differentiates the model itself is refused.
///   - grid: The times, from the beginning's to the end's.
///   - finalDenoise: Whether the end is the estimate at the last state, or that state.
///   - loss: The loss of each sample, `[B, …] → [B]`, differentiable.
/// - Returns: The end, its loss and the gradient.
/// - Throws: What the loss throws.
public func adjointGradient<F: FisherAccess, E: Error>(
  at x: Tensor, under denoiser: any Denoiser, fisher: (_ end: PathEnd) -> F, stepping solver: some Solver<any Denoiser>,
  along grid: TimeGrid,
  finalDenoise: Bool = true, of loss: (Tensor) throws(E) -> Tensor
) throws(E) -> AdjointGradient where F.Operator: FisherMatvec {
  try adjoint(at: x, under: denoiser, fisher, solver, grid, finalDenoise, loss) { _, _, _ in }
}

/// The gradient with respect to the beginning and to what the model is told, such as a class or the embedding of a prompt.
///
///     ∂L/∂c = Σ (∂x̂₀/∂c)ᵀ η   over the estimates of the path, η = ∂L/∂x̂₀ of each
///
/// The products by which `η` goes back along the path are those of the access; `(∂x̂₀/∂c)ᵀ η` is a gradient of the model.
///
/// - Cost: That of the gradient alone, and one evaluation with its gradient per estimate.
/// - Parameters:
///   - x: The beginning, shape `[B, …]`.
///   - condition: `c`, in the shape the model takes.
///   - model: The denoiser under a condition, differentiable with respect to it.
///   - fisher: The products `Fᵀ v` of the denoiser.
///   - solver: How the path is stepped: any method of the house, with noise too, which is the same on the way back. Methods for velocities go
///     by ``Solver/alongProbabilityFlow``; one that differentiates the model itself is refused.
///   - grid: The times, from the beginning's to the end's.
///   - finalDenoise: Whether the end is the estimate at the last state, or that state.
///   - loss: The loss of each sample, `[B, …] → [B]`, differentiable.
/// - Returns: The end, its loss and the gradient, and the gradient with respect to the condition, in its shape.
/// - Throws: What the loss throws.
public func adjointGradient<F: FisherAccess, E: Error>(
  at x: Tensor, condition: Tensor, of model: (Tensor) -> any Denoiser, fisher: (any Denoiser) -> F,
  stepping solver: some Solver<any Denoiser>, along grid: TimeGrid, finalDenoise: Bool = true,
  of loss: (Tensor) throws(E) -> Tensor
) throws(E) -> (path: AdjointGradient, condition: Tensor) where F.Operator: FisherMatvec {
  let denoiser = model(condition)
  let access = fisher(denoiser)
  var total = Tensor.zeros(like: condition)
  let path = try adjoint(at: x, under: denoiser, { _ in access }, solver, grid, finalDenoise, loss) { x, t, eta in
    total += vjp(at: condition) { model($0).denoise(x, at: t) }.pullback(eta)
  }
  return (path, total)
}

/// The path and back; `visit` is told of every estimate's point, time and `∂L/∂x̂₀`.
private func adjoint<F: FisherAccess, S: Solver<any Denoiser>, E: Error>(
  at x: Tensor, under denoiser: any Denoiser, _ fisher: (_ end: PathEnd) -> F, _ solver: S,
  _ grid: TimeGrid, _ finalDenoise: Bool, _ loss: (Tensor) throws(E) -> Tensor,
  visit: (_ x: Tensor, _ t: Double, _ eta: Tensor) -> Void
) throws(E) -> AdjointGradient where F.Operator: FisherMatvec {
  // What a method remembers goes from step to step: its path is one stretch.
  let stretch =
    S.Memory.self != NoMemory.self
    ? grid.steps : grid.steps <= 16 ? grid.steps : Int(Double(grid.steps).squareRoot().rounded(.up))
  let stretches = stride(from: 0, to: grid.steps, by: stretch).map {
    grid.times[$0...Swift.min($0 + stretch, grid.steps)]
  }
  var products = 0
  var access: F?
  func response(_ x: Tensor, _ t: Double, _ eta: Tensor) -> Tensor {
    products += 1
    visit(x, t, eta)
    let kernel = denoiser.schedule.kernel(at: t)
    return (eta - (kernel.sigma * kernel.sigma) * access!.fisher(at: x, time: t).matvec(eta)) / kernel.alpha
  }

  var starts: [Tensor] = []
  var now = x
  var last: PathTape?
  for times in stretches {
    starts.append(now)
    last = PathTape(from: now, along: times, with: solver, under: denoiser)
    now = last!.end
  }
  let endpoint = finalDenoise ? denoiser.denoise(now, at: grid.last) : now
  let end = try PathEnd(at: endpoint, for: "adjointGradient", of: loss)
  let axes = [x.batch] + [Int](repeating: 1, count: x.rank - 1)
  // What is no number goes nowhere: products may look at the whole batch.
  let isLost = (.!end.isFinite).reshaped(axes)
  var gradient = end.gradient.replacing(with: 0, where: isLost)
  access = fisher(end)
  if finalDenoise { gradient = response(now, grid.last, gradient) }

  for (start, times) in zip(starts, stretches).reversed() {
    let tape = last ?? PathTape(from: start, along: times, with: solver, under: denoiser)
    last = nil
    gradient = tape.pullback(gradient) { response($0.x, $0.time, $1) }
  }
  return AdjointGradient(
    endpoint: endpoint, loss: end.loss, gradient: gradient.replacing(with: .nan, where: isLost), products: products)
}
