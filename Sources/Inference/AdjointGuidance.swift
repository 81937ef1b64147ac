import ScorefieldFields
import ScorefieldFisher
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// Sampling that is steered by a loss of where it leads: symplectic adjoint guidance.
///
/// At a guided step the path is followed to its end in a few DDIM steps, the loss is asked there, and its gradient goes back through the
/// same steps. The state then moves against it by a share of its noise,
///
///     x ← x − ρ σ √d λ/|λ|
///
/// and the sampler goes on.
///
/// - Cost: Per guided step `n` evaluations there, `n` products back, and the states of the prediction. By forward differences of a
///   ``RememberingDenoiser`` that also samples, a product is one evaluation.
///
/// Source: Wang et al. 2025, arXiv:2505.23264, section 5 and appendix C.4; Pan et al. 2023, arXiv:2312.12030.
public struct AdjointGuidance: Sendable {
  /// The steps of the sampler before which the state is moved, from 0.
  public var guided: Range<Int>
  /// `n`, the steps that lead to the end.
  public var predictionSteps: Int
  /// `ρ`, in units of the length of the noise, `σ √d`.
  public var strength: Double

  /// A way to guide.
  ///
  /// - Parameters:
  ///   - guided: The steps of the sampler before which the state is moved, from 0.
  ///   - predictionSteps: The steps that lead to the end.
  ///   - strength: How far the state is moved, in units of `σ √d`.
  public init(guided: Range<Int>, predictionSteps: Int = 4, strength: Double = 0.2) {
    guard guided.lowerBound >= 0, predictionSteps > 0, strength >= 0 else {
      fatalError(
        "AdjointGuidance(guided: \(guided), predictionSteps: \(predictionSteps), strength: \(strength)): needs n > 0")
    }
    (self.guided, self.predictionSteps, self.strength) = (guided, predictionSteps, strength)
  }
}

/// What guided sampling made.
public struct GuidedSamples: Sendable {
  /// Shape `[B, …]`.
  public let samples: Tensor
  /// The loss at the predicted end of every guided step, before the move, and at the samples, `[guided + 1, B]`; fewer rows where no
  /// sample was left to guide.
  public let losses: Tensor
  /// Whether all losses and gradients were numbers.
  public let outcome: Outcome
  /// Which samples went on unguided from the first loss or gradient that was no number, `bool` of shape `[B]`.
  public let isStopped: Tensor

  public init(samples: Tensor, losses: Tensor, outcome: Outcome, isStopped: Tensor? = nil) {
    (self.samples, self.losses, self.outcome) = (samples, losses, outcome)
    self.isStopped = isStopped ?? .zeros([samples.batch]).to(.bool)
  }
}

/// Samples by DDIM, steered by a loss of where they lead.
///
/// - Parameters:
///   - denoiser: The model.
///   - start: The states at the grid's first time, shape `[B, …]`.
///   - grid: The times, from the noise to the data.
///   - guidance: When and how far states are moved.
///   - fisher: The products `Fᵀ v`, for the predicted end of a guided step: forms that stand on an endpoint or a loss take it.
///   - loss: The loss of each sample, `[B, …] → [B]`, differentiable.
/// - Returns: The samples and their losses. A sample whose loss or gradient is no number goes on unguided; the others do not notice.
/// - Throws: What the loss throws.
public func guidedSample<F: FisherAccess, E: Error>(
  _ denoiser: any Denoiser, from start: Tensor, along grid: TimeGrid, guidance: AdjointGuidance,
  fisher: (_ end: PathEnd) -> F, loss: (Tensor) throws(E) -> Tensor
) throws(E) -> GuidedSamples where F.Operator: FisherMatvec {
  guard guidance.guided.upperBound <= grid.steps else {
    fatalError("guidedSample(guided: \(guidance.guided)): the grid has \(grid.steps) steps")
  }
  var (state, memory) = (start, NoMemory())
  var losses: [Tensor] = []
  var isGuided = Tensor.ones([start.batch], on: start.device).to(.bool)
  let length = Double(start.dimension).squareRoot()
  let axes = [start.batch] + [Int](repeating: 1, count: start.rank - 1)
  for index in 0..<grid.steps {
    let time = grid.times[index]
    if guidance.guided.contains(index), isGuided.any() {
      let prediction = TimeGrid.uniformHalfLogSNR(
        guidance.predictionSteps, over: denoiser.schedule, from: time, to: grid.last)
      // The last state and not its estimate, of which forms that stand on the endpoint know no derivative at all.
      let found = try adjointGradient(
        at: state, under: denoiser, fisher: fisher, stepping: DDIM(), along: prediction, finalDenoise: false, of: loss)
      losses.append(found.loss)
      // One sample's numbers are not the others' business.
      isGuided = (isGuided .& found.loss.isFinite() .& found.gradient.flattened.isFinite().all(-1))
      let norms = found.gradient.flattened.norm(-1).clamped(1e-30).reshaped(axes)
      let sigma = denoiser.schedule.kernel(at: time).sigma
      let move = (guidance.strength * sigma * length) * (found.gradient / norms)
      state -= move.replacing(with: 0, where: (.!isGuided).reshaped(axes))
    }
    state = DDIM().step(state, from: time, to: grid.times[index + 1], in: denoiser, memory: &memory)
  }
  let samples = denoiser.denoise(state, at: grid.last)
  let last = try loss(samples)
  losses.append(last)
  let isSettled = isGuided.all() && last.isFinite().all() && samples.isFinite().all()
  return GuidedSamples(
    samples: samples, losses: .stacked(losses), outcome: isSettled ? .converged : .notFinite, isStopped: .!isGuided)
}
