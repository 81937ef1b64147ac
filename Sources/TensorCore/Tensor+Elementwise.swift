// Functions of each element.

extension Tensor {
  /// `|x|`.
  public func abs() -> Tensor { Self.abs(argument) }
  /// `eˣ`.
  public func exp() -> Tensor { Self.exp(argument) }
  /// `eˣ − 1`, exact for small x.
  public func expm1() -> Tensor { Self.expm1(argument) }
  /// `log x`, natural.
  public func log() -> Tensor { Self.log(argument) }
  /// `log₂ x`.
  public func log2() -> Tensor { Self.log2(argument) }
  /// `log₁₀ x`.
  public func log10() -> Tensor { Self.log10(argument) }
  /// `log(1 + x)`, exact for small x.
  public func log1p() -> Tensor { Self.log1p(argument) }
  /// `√x`.
  public func sqrt() -> Tensor { Self.sqrt(argument) }
  /// `1/√x`.
  public func rsqrt() -> Tensor { Self.rsqrt(argument) }
  /// `1/x`.
  public func reciprocal() -> Tensor { Self.reciprocal(argument) }
  /// `x²`.
  public func squared() -> Tensor { Self.squared(argument) }
  /// `sin x`.
  public func sin() -> Tensor { Self.sin(argument) }
  /// `cos x`.
  public func cos() -> Tensor { Self.cos(argument) }
  /// `tan x`.
  public func tan() -> Tensor { Self.tan(argument) }
  /// `arcsin x`.
  public func asin() -> Tensor { Self.asin(argument) }
  /// `arccos x`.
  public func acos() -> Tensor { Self.acos(argument) }
  /// `arctan x`.
  public func atan() -> Tensor { Self.atan(argument) }
  /// `sinh x`.
  public func sinh() -> Tensor { Self.sinh(argument) }
  /// `cosh x`.
  public func cosh() -> Tensor { Self.cosh(argument) }
  /// `tanh x`.
  public func tanh() -> Tensor { Self.tanh(argument) }
  /// The error function.
  public func erf() -> Tensor { Self.erf(argument) }
  /// `1 − erf x`, exact for large x.
  public func erfc() -> Tensor { Self.erfc(argument) }
  /// The inverse of erf.
  public func erfinv() -> Tensor { Self.erfinv(argument) }
  /// `1/(1 + e⁻ˣ)`.
  public func sigmoid() -> Tensor { Self.sigmoid(argument) }
  /// `log(1/(1 + e⁻ˣ))`.
  public func logSigmoid() -> Tensor { Self.logSigmoid(argument) }
  /// `max(x, 0)`.
  public func relu() -> Tensor { Self.relu(argument) }
  /// `x` where positive, `slope · x` elsewhere.
  public func leakyRelu(slope: Double = 0.01) -> Tensor { Self.leakyRelu(argument, .double(slope)) }
  /// `x` where positive, `eˣ − 1` elsewhere.
  public func elu() -> Tensor { Self.elu(argument) }
  /// `x/(1 + e⁻ˣ)`.
  public func silu() -> Tensor { Self.silu(argument) }
  /// `−1`, 0 or 1.
  public func sign() -> Tensor { Self.sign(argument) }
  /// The largest integer not above x.
  public func floor() -> Tensor { Self.floor(argument) }
  /// The smallest integer not below x.
  public func ceil() -> Tensor { Self.ceil(argument) }
  /// The nearest integer, halves to even.
  public func rounded() -> Tensor { Self.rounded(argument) }
  /// Where x is not a number, `bool`.
  public func isNaN() -> Tensor { Self.isNaN(argument) }
  /// Where x is infinite, `bool`.
  public func isInfinite() -> Tensor { Self.isInfinite(argument) }
  /// Where x is neither, `bool`.
  public func isFinite() -> Tensor { Self.isFinite(argument) }
  /// `log(1 + eˣ)`.
  public func softplus() -> Tensor { Self.softplus(argument) }
  /// `x Φ(x)`, with the normal distribution function itself or its tanh approximation.
  public func gelu(approximate: Bool = false) -> Tensor {
    Self.gelu(argument, .string(approximate ? "tanh" : "none"))
  }
  /// `xᵖ`.
  public func pow(_ exponent: Double) -> Tensor { Self.power(argument, number(exponent)) }
  /// `xʸ`, elementwise.
  public func pow(_ exponent: Tensor) -> Tensor { Self.powerTensor(argument, exponent.argument) }
  /// The angle of the point (`x`, `self`).
  public func atan2(_ x: Tensor) -> Tensor { Self.atan2(argument, x.argument) }
  /// Values outside the bounds, moved to them.
  public func clamped(_ lower: Double? = nil, _ upper: Double? = nil) -> Tensor {
    Self.clamp(argument, .optional(lower), .optional(upper))
  }
  /// The same values, cut off from differentiation.
  public func detached() -> Tensor { Self.detach(argument) }

  private static let abs = Operator("aten::abs")
  private static let exp = Operator("aten::exp")
  private static let expm1 = Operator("aten::expm1")
  private static let log = Operator("aten::log")
  private static let log2 = Operator("aten::log2")
  private static let log10 = Operator("aten::log10")
  private static let log1p = Operator("aten::log1p")
  private static let sqrt = Operator("aten::sqrt")
  private static let rsqrt = Operator("aten::rsqrt")
  private static let reciprocal = Operator("aten::reciprocal")
  private static let squared = Operator("aten::square", as: "squared")
  private static let sin = Operator("aten::sin")
  private static let cos = Operator("aten::cos")
  private static let tan = Operator("aten::tan")
  private static let asin = Operator("aten::asin")
  private static let acos = Operator("aten::acos")
  private static let atan = Operator("aten::atan")
  private static let sinh = Operator("aten::sinh")
  private static let cosh = Operator("aten::cosh")
  private static let tanh = Operator("aten::tanh")
  private static let erf = Operator("aten::erf")
  private static let erfc = Operator("aten::erfc")
  private static let erfinv = Operator("aten::erfinv")
  private static let sigmoid = Operator("aten::sigmoid")
  private static let logSigmoid = Operator("aten::log_sigmoid", as: "logSigmoid")
  private static let relu = Operator("aten::relu")
  private static let leakyRelu = Operator("aten::leaky_relu", as: "leakyRelu")
  private static let elu = Operator("aten::elu")
  private static let silu = Operator("aten::silu")
  private static let sign = Operator("aten::sign")
  private static let floor = Operator("aten::floor")
  private static let ceil = Operator("aten::ceil")
  private static let rounded = Operator("aten::round", as: "rounded")
  private static let isNaN = Operator("aten::isnan", as: "isNaN")
  private static let isInfinite = Operator("aten::isinf", as: "isInfinite")
  private static let isFinite = Operator("aten::isfinite", as: "isFinite")
  private static let softplus = Operator("aten::softplus")
  private static let gelu = Operator("aten::gelu")
  private static let power = Operator("aten::pow", "Tensor_Scalar")
  private static let powerTensor = Operator("aten::pow", "Tensor_Tensor")
  private static let atan2 = Operator("aten::atan2")
  private static let clamp = Operator("aten::clamp", as: "clamped")
  private static let detach = Operator("aten::detach", as: "detached")
}
