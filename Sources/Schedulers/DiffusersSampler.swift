import ScorefieldFields
import ScorefieldInference
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// A sampler that takes the steps of a diffusers scheduler, and with the same model and noise makes the same samples.
///
/// - Note: Steps are computed in the type of the state; diffusers' own coefficients are in single precision.
public struct DiffusersSampler: Sendable {
  private let plan: SamplingPlan
  private let head: Head
  private let limit: EstimateLimit
  private let clock: ModelClock

  init(plan: SamplingPlan, head: Head, limit: EstimateLimit, clock: ModelClock) {
    (self.plan, self.head, self.limit, self.clock) = (plan, head, limit, clock)
  }

  /// What the model is told, call by call.
  public var timesteps: [Double] { plan.timesteps }
  /// The deviation of the first state: `sample` multiplies the noise it starts from by it.
  public var startScale: Double { plan.startScale }
  /// `σ/α` where each step begins, and of the samples.
  public var noiseToSignal: [Double] {
    plan.steps.map { plan.nodes[$0.from].kernel.noiseToSignal } + [plan.nodes[plan.steps.last!.to].kernel.noiseToSignal]
  }

  /// Samples from a network, or any function of its input and a timestep.
  ///
  /// - Parameters:
  ///   - start: Draws from N(0, 1), shape `[B, …]`.
  ///   - noise: The noise of stochastic schedulers.
  ///   - keepingPath: Whether the states are kept; the times of the path are ``noiseToSignal``.
  ///   - predict: What the model predicts, as its training says it: shape `[B, …]` in and out. The input is scaled already.
  /// - Returns: The samples.
  public func sample(
    from start: Tensor, noise: NoiseSource, keepingPath: Bool = false,
    _ predict: @escaping @Sendable (_ x: Tensor, _ timestep: Double) -> Tensor
  ) -> SampleRun {
    run(plan.solver(noise), start, keepingPath, predict)
  }

  /// Samples from a denoiser on ``SchedulerConfiguration/schedule``, which is asked as a network of the file's kind would be.
  ///
  /// - Parameters:
  ///   - model: The denoiser.
  ///   - start: Draws from N(0, 1), shape `[B, …]`.
  ///   - noise: The noise of stochastic schedulers.
  ///   - keepingPath: Whether the states are kept; the times of the path are ``noiseToSignal``.
  /// - Returns: The samples.
  public func sample(
    _ model: any Denoiser, from start: Tensor, noise: NoiseSource, keepingPath: Bool = false
  ) -> SampleRun {
    let (clock, head) = (clock, head)
    return sample(from: start, noise: noise, keepingPath: keepingPath) { x, timestep in
      let (time, scale) = clock.place(timestep, on: model.schedule)
      return model.prediction(head, scale == 1 ? x : scale * x, at: time)
    }
  }

  private func run<S: Solver<ScheduledModel>>(
    _ solver: S, _ start: Tensor, _ keepingPath: Bool, _ predict: @escaping @Sendable (Tensor, Double) -> Tensor
  ) -> SampleRun {
    let record = EstimateRecord(keepsFirst: keepingPath)
    let model = ScheduledModel(
      way: NodeSchedule(nodes: plan.nodes), head: head, limit: limit, predict: predict, record: record)
    var memory = solver.makeMemory()
    var state = plan.startScale == 1 ? start : plan.startScale * start
    var (states, denoised) = ([state], [Tensor]())
    for step in plan.steps {
      state = solver.step(state, from: Double(step.from), to: Double(step.to), in: model, memory: &memory)
      if keepingPath {
        states.append(state)
        denoised.append(record.takeFirst() ?? state)
      }
    }
    return SampleRun(
      samples: state,
      path: keepingPath
        ? .init(times: noiseToSignal, states: .stacked(states), denoised: .stacked(denoised)) : nil,
      evaluations: record.evaluations, outcome: state.isFinite().all() ? .converged : .notFinite)
  }
}
