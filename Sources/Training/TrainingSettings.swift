import ScorefieldArrays

/// How the parameters follow the gradients.
public struct TrainingSettings: Sendable {
  public var learningRate: LearningRateSchedule
  public var weightDecay: Double
  /// The decays of AdamW's moments.
  public var beta1, beta2: Double
  /// What AdamW adds to the root of the second moment.
  public var epsilon: Double
  /// What keeps the gradients small; nil for nothing.
  public var clipping: GradientClipping?
  /// The element type the network computes in, where it is not that of its parameters.
  public var precision: ElementType?

  public init(
    learningRate: LearningRateSchedule, weightDecay: Double = 0, beta1: Double = 0.9, beta2: Double = 0.999,
    epsilon: Double = 1e-8,
    clipping: GradientClipping? = nil, precision: ElementType? = nil
  ) {
    (self.learningRate, self.weightDecay) = (learningRate, weightDecay)
    (self.beta1, self.beta2, self.epsilon) = (beta1, beta2, epsilon)
    (self.clipping, self.precision) = (clipping, precision)
  }
}
