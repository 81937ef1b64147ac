import ScorefieldArrays

// Sums and other reductions over axes; negative axes count from the end, no axes means all of them.

extension Tensor {
  public func sum(_ axes: Int..., keeping: Bool = false) -> Tensor {
    Self.sum(argument, .ints(every(axes)), .flag(keeping))
  }
  public func mean(_ axes: Int..., keeping: Bool = false) -> Tensor {
    Self.mean(argument, .ints(every(axes)), .flag(keeping))
  }
  /// The variance; `correction` 1 divides by n − 1, 0 by n.
  public func variance(_ axes: Int..., correction: Double = 1, keeping: Bool = false) -> Tensor {
    Self.variance(argument, .ints(every(axes)), .double(correction), .flag(keeping))
  }
  /// The square root of ``variance(_:correction:keeping:)``.
  public func standardDeviation(_ axes: Int..., correction: Double = 1, keeping: Bool = false) -> Tensor {
    Self.deviation(argument, .ints(every(axes)), .double(correction), .flag(keeping))
  }
  /// The largest value along axes.
  public func max(_ axes: Int..., keeping: Bool = false) -> Tensor {
    Self.amax(argument, .ints(every(axes)), .flag(keeping))
  }
  /// The smallest value along axes.
  public func min(_ axes: Int..., keeping: Bool = false) -> Tensor {
    Self.amin(argument, .ints(every(axes)), .flag(keeping))
  }
  /// Where the largest value along an axis (or in row-major order) is, `int64`.
  public func argmax(_ axis: Int? = nil, keeping: Bool = false) -> Tensor {
    Self.argmax(argument, .optional(axis), .flag(keeping))
  }
  /// Where the smallest value along an axis (or in row-major order) is, `int64`.
  public func argmin(_ axis: Int? = nil, keeping: Bool = false) -> Tensor {
    Self.argmin(argument, .optional(axis), .flag(keeping))
  }
  /// `log Σ eˣ`, without overflow.
  public func logSumExp(_ axes: Int..., keeping: Bool = false) -> Tensor {
    Self.logSumExp(argument, .ints(every(axes)), .flag(keeping))
  }
  /// The p-norm over axes; 2 where not said.
  public func norm(_ axes: Int..., order: Double = 2, keeping: Bool = false) -> Tensor {
    Self.norm(argument, .double(order), .ints(every(axes)), .flag(keeping))
  }
  /// The value below which a fraction of an axis lies, between two of its elements by linear interpolation.
  public func quantile(_ fraction: Double, _ axis: Int? = nil, keeping: Bool = false) -> Tensor {
    Self.quantile(argument, .double(fraction), .optional(axis), .flag(keeping))
  }
  public func product(_ axis: Int, keeping: Bool = false) -> Tensor {
    Self.product(argument, .int(axis), .flag(keeping))
  }
  /// Whether any element is true (not zero).
  public func any() -> Bool { Self.any(argument).flags[0] }
  /// Whether every element is true (not zero).
  public func all() -> Bool { Self.all(argument).flags[0] }
  /// Whether any element along an axis is true (not zero), `bool`.
  public func any(_ axis: Int, keeping: Bool = false) -> Tensor { Self.anyAlong(argument, .int(axis), .flag(keeping)) }
  /// Whether every element along an axis is true (not zero), `bool`.
  public func all(_ axis: Int, keeping: Bool = false) -> Tensor { Self.allAlong(argument, .int(axis), .flag(keeping)) }
  /// The running sum along an axis.
  public func cumulativeSum(_ axis: Int) -> Tensor { Self.cumsum(argument, .int(axis)) }
  /// The running product along an axis.
  public func cumulativeProduct(_ axis: Int) -> Tensor { Self.cumprod(argument, .int(axis)) }
  /// Each element less the one before it along an axis, which becomes shorter by one.
  public func differences(_ axis: Int = -1) -> Tensor { Self.diff(argument, .int(1), .int(axis)) }
  /// `eˣ / Σ eˣ` along an axis.
  ///
  /// Written with elementary operations: libtorch's own has no forward derivative of its backward one.
  public func softmax(_ axis: Int) -> Tensor {
    let weights = (self - max(axis, keeping: true).detached()).exp()
    return weights / weights.sum(axis, keeping: true)
  }
  /// `x − log Σ eˣ` along an axis.
  public func logSoftmax(_ axis: Int) -> Tensor { self - logSumExp(axis, keeping: true) }

  /// Whether shape and every element are equal.
  public func isIdentical(to other: Tensor) -> Bool { Self.equal.flag(argument, other.argument) }

  private func every(_ axes: [Int]) -> [Int] { axes.isEmpty ? Array(0..<rank) : axes }

  private static let sum = Operator("aten::sum", "dim_IntList")
  private static let mean = Operator("aten::mean", "dim")
  private static let variance = Operator("aten::var", "correction", as: "variance")
  private static let deviation = Operator("aten::std", "correction", as: "standardDeviation")
  private static let amax = Operator("aten::amax", as: "max")
  private static let amin = Operator("aten::amin", as: "min")
  private static let argmax = Operator("aten::argmax")
  private static let argmin = Operator("aten::argmin")
  private static let logSumExp = Operator("aten::logsumexp", as: "logSumExp")
  private static let norm = Operator("aten::linalg_vector_norm", as: "norm")
  private static let product = Operator("aten::prod", "dim_int", as: "product")
  private static let any = Operator("aten::any")
  private static let all = Operator("aten::all")
  private static let quantile = Operator("aten::quantile", "scalar")
  private static let anyAlong = Operator("aten::any", "dim", as: "any")
  private static let allAlong = Operator("aten::all", "dim", as: "all")
  private static let cumprod = Operator("aten::cumprod", as: "cumulativeProduct")
  private static let diff = Operator("aten::diff", as: "differences")
  private static let cumsum = Operator("aten::cumsum", as: "cumulativeSum")
  private static let equal = Operator("aten::equal", as: "isIdentical")
}
