import RealModule

/// A number and its derivative with respect to one variable: `a + b ε`, `ε² = 0`.
///
/// A function written over ``Elementary`` is differentiated exactly by calling it with `Dual(t, derivative: 1)`.
public struct Dual: Elementary, Equatable {
  public var value: Double
  public var derivative: Double

  public init(_ value: Double, derivative: Double) { (self.value, self.derivative) = (value, derivative) }

  /// A constant.
  public init(_ value: Double) { self.init(value, derivative: 0) }
  public init(floatLiteral value: Double) { self.init(value) }
  public init(integerLiteral value: Int) { self.init(Double(value)) }
  public init?<T: BinaryInteger>(exactly source: T) {
    guard let value = Double(exactly: source) else { return nil }
    self.init(value)
  }

  public var magnitude: Double { value.magnitude }
  public static func + (a: Dual, b: Dual) -> Dual { Dual(a.value + b.value, derivative: a.derivative + b.derivative) }
  public static func - (a: Dual, b: Dual) -> Dual { Dual(a.value - b.value, derivative: a.derivative - b.derivative) }
  public static prefix func - (a: Dual) -> Dual { Dual(-a.value, derivative: -a.derivative) }
  public static func * (a: Dual, b: Dual) -> Dual {
    Dual(a.value * b.value, derivative: a.derivative * b.value + a.value * b.derivative)
  }
  public static func / (a: Dual, b: Dual) -> Dual {
    let quotient = a.value / b.value
    return Dual(quotient, derivative: (a.derivative - quotient * b.derivative) / b.value)
  }
  public static func *= (a: inout Dual, b: Dual) { a = a * b }
  public static func /= (a: inout Dual, b: Dual) { a = a / b }

  /// `f(a)` with slope `f′(a)`.
  private func mapped(_ value: Double, slope: Double) -> Dual { Dual(value, derivative: slope * derivative) }

  public static func exp(_ x: Dual) -> Dual {
    let e = Double.exp(x.value)
    return x.mapped(e, slope: e)
  }
  public static func expMinusOne(_ x: Dual) -> Dual { x.mapped(.expMinusOne(x.value), slope: .exp(x.value)) }
  public static func log(_ x: Dual) -> Dual { x.mapped(.log(x.value), slope: 1 / x.value) }
  public static func log(onePlus x: Dual) -> Dual { x.mapped(.log(onePlus: x.value), slope: 1 / (1 + x.value)) }
  public static func sqrt(_ x: Dual) -> Dual {
    let root = Double.sqrt(x.value)
    return x.mapped(root, slope: 0.5 / root)
  }
  public static func sin(_ x: Dual) -> Dual { x.mapped(.sin(x.value), slope: .cos(x.value)) }
  public static func cos(_ x: Dual) -> Dual { x.mapped(.cos(x.value), slope: -.sin(x.value)) }
  public static func tan(_ x: Dual) -> Dual {
    let tangent = Double.tan(x.value)
    return x.mapped(tangent, slope: 1 + tangent * tangent)
  }
  public static func asin(_ x: Dual) -> Dual { x.mapped(.asin(x.value), slope: 1 / .sqrt(1 - x.value * x.value)) }
  public static func acos(_ x: Dual) -> Dual { x.mapped(.acos(x.value), slope: -1 / .sqrt(1 - x.value * x.value)) }
  public static func atan(_ x: Dual) -> Dual { x.mapped(.atan(x.value), slope: 1 / (1 + x.value * x.value)) }
  public static func sinh(_ x: Dual) -> Dual { x.mapped(.sinh(x.value), slope: .cosh(x.value)) }
  public static func cosh(_ x: Dual) -> Dual { x.mapped(.cosh(x.value), slope: .sinh(x.value)) }
  public static func tanh(_ x: Dual) -> Dual {
    let tangent = Double.tanh(x.value)
    return x.mapped(tangent, slope: 1 - tangent * tangent)
  }
  public static func asinh(_ x: Dual) -> Dual { x.mapped(.asinh(x.value), slope: 1 / .sqrt(x.value * x.value + 1)) }
  public static func acosh(_ x: Dual) -> Dual { x.mapped(.acosh(x.value), slope: 1 / .sqrt(x.value * x.value - 1)) }
  public static func atanh(_ x: Dual) -> Dual { x.mapped(.atanh(x.value), slope: 1 / (1 - x.value * x.value)) }
  public static func pow(_ x: Dual, _ y: Dual) -> Dual { exp(y * log(x)) }
  public static func pow(_ x: Dual, _ n: Int) -> Dual {
    x.mapped(.pow(x.value, n), slope: n == 0 ? 0 : Double(n) * .pow(x.value, n - 1))
  }
  public static func root(_ x: Dual, _ n: Int) -> Dual {
    let root = Double.root(x.value, n)
    return x.mapped(root, slope: root / (Double(n) * x.value))
  }
}
