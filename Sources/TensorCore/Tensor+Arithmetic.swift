import ScorefieldArrays

// Arithmetic and comparison, with broadcasting. A number takes the tensor's own type; only a fraction beside integers
// makes them `float64`.

extension Tensor {
  public static func + (a: Tensor, b: Tensor) -> Tensor { add(a.argument, b.argument) }
  public static func + (a: Tensor, b: Double) -> Tensor { addScalar(a.argument, a.number(b)) }
  public static func + (a: Double, b: Tensor) -> Tensor { b + a }
  public static func - (a: Tensor, b: Tensor) -> Tensor { sub(a.argument, b.argument) }
  public static func - (a: Tensor, b: Double) -> Tensor { addScalar(a.argument, a.number(-b)) }
  public static func - (a: Double, b: Tensor) -> Tensor { rsub(b.argument, b.number(a)) }
  public static func * (a: Tensor, b: Tensor) -> Tensor { mul(a.argument, b.argument) }
  public static func * (a: Tensor, b: Double) -> Tensor { mulScalar(a.argument, a.number(b)) }
  public static func * (a: Double, b: Tensor) -> Tensor { b * a }
  public static func / (a: Tensor, b: Tensor) -> Tensor { div(a.argument, b.argument) }
  public static func / (a: Tensor, b: Double) -> Tensor { divScalar(a.argument, a.number(b)) }
  public static func / (a: Double, b: Tensor) -> Tensor { b.reciprocal() * a }
  public static prefix func - (a: Tensor) -> Tensor { neg(a.argument) }

  public static func += (a: inout Tensor, b: Tensor) { a = a + b }
  public static func -= (a: inout Tensor, b: Tensor) { a = a - b }
  public static func *= (a: inout Tensor, b: Tensor) { a = a * b }
  public static func /= (a: inout Tensor, b: Tensor) { a = a / b }
  public static func += (a: inout Tensor, b: Double) { a = a + b }
  public static func -= (a: inout Tensor, b: Double) { a = a - b }
  public static func *= (a: inout Tensor, b: Double) { a = a * b }
  public static func /= (a: inout Tensor, b: Double) { a = a / b }

  /// `Σᵢ cᵢ aᵢ` of tensors of one shape, in one operation per term; terms whose coefficient is 0 count for nothing.
  public static func combination(_ terms: [(coefficient: Double, tensor: Tensor)]) -> Tensor {
    guard let first = terms.first else { fatalError("combination([]): needs at least one tensor") }
    var sum: Tensor?
    for (coefficient, tensor) in terms where coefficient != 0 {
      guard let before = sum else {
        sum = coefficient == 1 ? tensor : coefficient * tensor
        continue
      }
      sum = add(before.argument, tensor.argument, tensor.number(coefficient))
    }
    return sum ?? .zeros(like: first.tensor)
  }

  /// A number beside this tensor, as an operator's argument.
  func number(_ value: Double) -> Argument {
    let type = elementType
    guard type.isInteger || type == .bool, let whole = Int(exactly: value) else { return .double(value) }
    return .int(whole)
  }

  /// Elementwise comparisons, `bool`.
  public static func .< (a: Tensor, b: Tensor) -> Tensor { less(a.argument, b.argument) }
  public static func .< (a: Tensor, b: Double) -> Tensor { lessScalar(a.argument, a.number(b)) }
  public static func .<= (a: Tensor, b: Tensor) -> Tensor { lessEqual(a.argument, b.argument) }
  public static func .<= (a: Tensor, b: Double) -> Tensor { lessEqualScalar(a.argument, a.number(b)) }
  public static func .> (a: Tensor, b: Tensor) -> Tensor { b .< a }
  public static func .> (a: Tensor, b: Double) -> Tensor { greaterScalar(a.argument, a.number(b)) }
  public static func .>= (a: Tensor, b: Tensor) -> Tensor { b .<= a }
  public static func .>= (a: Tensor, b: Double) -> Tensor { greaterEqualScalar(a.argument, a.number(b)) }
  public static func .== (a: Tensor, b: Tensor) -> Tensor { equal(a.argument, b.argument) }
  public static func .== (a: Tensor, b: Double) -> Tensor { equalScalar(a.argument, a.number(b)) }
  public static func .!= (a: Tensor, b: Tensor) -> Tensor { notEqual(a.argument, b.argument) }
  public static func .!= (a: Tensor, b: Double) -> Tensor { notEqualScalar(a.argument, a.number(b)) }

  public static func .& (a: Tensor, b: Tensor) -> Tensor { and(a.argument, b.argument) }
  public static func .| (a: Tensor, b: Tensor) -> Tensor { or(a.argument, b.argument) }
  public static prefix func .! (a: Tensor) -> Tensor { not(a.argument) }

  /// `self` where the condition holds, `other` elsewhere.
  public func replacing(with other: Tensor, where condition: Tensor) -> Tensor {
    Self.select(condition.argument, other.argument, argument)
  }
  /// `value` where the condition holds, `self` elsewhere.
  public func replacing(with value: Double, where condition: Tensor) -> Tensor {
    Self.maskedFill(argument, condition.argument, .double(value))
  }

  /// The elementwise larger.
  public static func maximum(_ a: Tensor, _ b: Tensor) -> Tensor { maximum(a.argument, b.argument) }
  /// The elementwise smaller.
  public static func minimum(_ a: Tensor, _ b: Tensor) -> Tensor { minimum(a.argument, b.argument) }

  private static let add = Operator("aten::add", "Tensor", as: "+")
  private static let addScalar = Operator("aten::add", "Scalar", as: "+")
  private static let sub = Operator("aten::sub", "Tensor", as: "-")
  private static let rsub = Operator("aten::rsub", "Scalar", as: "-")
  private static let mul = Operator("aten::mul", "Tensor", as: "*")
  private static let mulScalar = Operator("aten::mul", "Scalar", as: "*")
  private static let div = Operator("aten::div", "Tensor", as: "/")
  private static let divScalar = Operator("aten::div", "Scalar", as: "/")
  private static let neg = Operator("aten::neg", as: "-")
  private static let less = Operator("aten::lt", "Tensor", as: ".<")
  private static let lessScalar = Operator("aten::lt", "Scalar", as: ".<")
  private static let lessEqual = Operator("aten::le", "Tensor", as: ".<=")
  private static let lessEqualScalar = Operator("aten::le", "Scalar", as: ".<=")
  private static let greaterScalar = Operator("aten::gt", "Scalar", as: ".>")
  private static let greaterEqualScalar = Operator("aten::ge", "Scalar", as: ".>=")
  private static let equal = Operator("aten::eq", "Tensor", as: ".==")
  private static let equalScalar = Operator("aten::eq", "Scalar", as: ".==")
  private static let notEqual = Operator("aten::ne", "Tensor", as: ".!=")
  private static let notEqualScalar = Operator("aten::ne", "Scalar", as: ".!=")
  private static let and = Operator("aten::logical_and", as: ".&")
  private static let or = Operator("aten::logical_or", as: ".|")
  private static let not = Operator("aten::logical_not", as: ".!")
  private static let select = Operator("aten::where", "self", as: "replacing")
  private static let maskedFill = Operator("aten::masked_fill", "Scalar", as: "replacing")
  private static let maximum = Operator("aten::maximum")
  private static let minimum = Operator("aten::minimum")
}
