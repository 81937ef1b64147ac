/// What a multistep method does while there are fewer estimates than it is to remember.
public enum MultistepStart: Sendable {
  /// A polynomial of what there is, as published; its first step is DDIM, which caps the order.
  case lowerOrder
  /// ``ExponentialRungeKutta`` of an order less, whose steps are as good as the method's own are in sum.
  case singleStep
}
