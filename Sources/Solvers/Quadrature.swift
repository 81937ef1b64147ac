/// How a polynomial is integrated over a step against the exponential weight.
public enum Quadrature: Sendable {
  case exact
  /// By its value at the step's middle in `λ`: as good to the second order, and what some published methods print.
  case midpoint
}
