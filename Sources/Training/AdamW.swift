import ScorefieldTensorCore

/// Adam with decoupled weight decay: a value that remembers the moments of the gradients.
///
///     m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²
///     θ ← (1 − η λ) θ − η m̂ / (√v̂ + ε),   m̂ = m / (1 − β₁ⁿ),   v̂ = v / (1 − β₂ⁿ)
///
/// A step writes into memory that nothing else refers to, and copies what is shared: a copy of the optimizer or of the
/// parameters stays what it was.
///
/// - Cost: one pass over parameters, gradients and moments; memory for two moments per parameter.
///
/// Source: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2, with `λ` times the learning rate as in PyTorch.
public struct AdamW: Sendable {
  /// What is remembered between steps.
  public struct State: Sendable {
    /// `m` and `v`, in the order and the shapes of the parameters.
    public var firstMoments, secondMoments: [Tensor]
    /// `n`, the number of steps taken.
    public var steps: Int

    public init(firstMoments: [Tensor], secondMoments: [Tensor], steps: Int) {
      (self.firstMoments, self.secondMoments) = (firstMoments, secondMoments)
      self.steps = steps
    }
  }

  public let beta1, beta2, epsilon, weightDecay: Double
  /// What a checkpoint keeps; ``init(restoring:beta1:beta2:epsilon:weightDecay:)`` goes on from it.
  public private(set) var state: State

  /// - Parameters:
  ///   - parameters: What will be optimized, `θ`.
  ///   - beta1: `β₁`, how much of the mean gradient stays.
  ///   - beta2: `β₂`, how much of the mean squared gradient stays.
  ///   - epsilon: `ε`.
  ///   - weightDecay: `λ`; 0 for plain Adam.
  public init(
    for parameters: [Tensor], beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8,
    weightDecay: Double = 0
  ) {
    let zeros = parameters.map { Tensor.zeros($0.shape, type: $0.elementType, on: $0.device) }
    self.init(
      restoring: State(firstMoments: zeros, secondMoments: zeros, steps: 0), beta1: beta1, beta2: beta2,
      epsilon: epsilon, weightDecay: weightDecay)
  }

  /// An optimizer that goes on from a saved state.
  public init(
    restoring state: State, beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8,
    weightDecay: Double = 0
  ) {
    guard (0..<1).contains(beta1), (0..<1).contains(beta2), epsilon >= 0, weightDecay >= 0 else {
      fatalError(
        "AdamW(beta1: \(beta1), beta2: \(beta2), epsilon: \(epsilon), weightDecay: \(weightDecay)): "
          + "betas are in 0..<1, the others not negative")
    }
    guard state.firstMoments.map(\.shape) == state.secondMoments.map(\.shape), state.steps >= 0 else {
      fatalError("AdamW(restoring:): the first and the second moments have different shapes")
    }
    (self.beta1, self.beta2, self.epsilon, self.weightDecay) = (beta1, beta2, epsilon, weightDecay)
    self.state = state
  }

  /// Takes a step.
  ///
  /// - Parameters:
  ///   - parameters: `θ`, which change.
  ///   - gradients: `g`, in the same order.
  ///   - learningRate: `η`.
  public mutating func step(_ parameters: inout [Tensor], gradients: [Tensor], learningRate: Double) {
    guard parameters.count == gradients.count, parameters.count == state.firstMoments.count else {
      fatalError(
        "AdamW.step(\(parameters.count) parameters, \(gradients.count) gradients): "
          + "the optimizer has moments of \(state.firstMoments.count)")
    }
    for (index, (parameter, gradient)) in zip(parameters, gradients).enumerated() {
      let shape = parameter.shape
      guard gradient.shape == shape, state.firstMoments[index].shape == shape else {
        fatalError(
          "AdamW.step(\(shape), \(gradient.shape)): parameter \(index), its gradient and its moments differ; "
            + "these have shape \(state.firstMoments[index].shape)")
      }
    }
    guard let device = parameters.first?.device else { return }
    state.steps += 1
    parameters.makeUnique()
    state.firstMoments.makeUnique()
    state.secondMoments.makeUnique()
    let steps = [Tensor](
      repeating: .full([], Double(state.steps), type: .float32, on: device), count: parameters.count)
    Self.fused.write(
      .tensors(parameters), .tensors(gradients.map(\.contiguous)), .tensors(state.firstMoments),
      .tensors(state.secondMoments), .tensors([]), .tensors(steps), .double(learningRate), .double(beta1),
      .double(beta2), .double(weightDecay), .double(epsilon), .flag(false), .flag(false))
  }

  private static let fused = Operator("aten::_fused_adamw_", as: "AdamW.step")
}

extension Tensor {
  /// The same values in row-major order, which the fused kernel walks through.
  fileprivate var contiguous: Tensor { Self.contiguous(argument) }
  private static let contiguous = Operator("aten::contiguous")
}
