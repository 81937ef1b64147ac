import ScorefieldArrays

// Tensors made from nothing.

extension Tensor {
  public static func zeros(_ shape: [Int], type: ElementType = .float64, on device: Device = .cpu) -> Tensor {
    zeros(.ints(shape), .type(type), .none, .device(device))
  }
  public static func ones(_ shape: [Int], type: ElementType = .float64, on device: Device = .cpu) -> Tensor {
    full(shape, 1, type: type, on: device)
  }
  public static func full(
    _ shape: [Int], _ value: Double, type: ElementType = .float64, on device: Device = .cpu
  ) -> Tensor {
    full(.ints(shape), .double(value), .type(type), .none, .device(device))
  }
  /// Zeros of a tensor's shape, type and device.
  public static func zeros(like other: Tensor) -> Tensor { zerosLike(other.argument) }
  /// Ones of a tensor's shape, type and device.
  public static func ones(like other: Tensor) -> Tensor { onesLike(other.argument) }
  public static func identity(_ size: Int, type: ElementType = .float64, on device: Device = .cpu) -> Tensor {
    eye(.int(size), .type(type), .none, .device(device))
  }
  /// `count` values from `start` to `end`, both included, evenly spaced.
  public static func linspace(
    from start: Double, to end: Double, count: Int, type: ElementType = .float64, on device: Device = .cpu
  ) -> Tensor {
    linspace(.double(start), .double(end), .int(count), .type(type), .none, .device(device))
  }
  /// The integers of a range, `int64`.
  public static func arange(_ range: Range<Int>, on device: Device = .cpu) -> Tensor {
    arange(.int(range.lowerBound), .int(range.upperBound), .type(.int64), .none, .device(device))
  }

  /// Independent draws from N(0, 1).
  public static func normal(
    _ shape: [Int], type: ElementType = .float64, on device: Device = .cpu, using generator: inout Generator
  ) -> Tensor {
    normal(.ints(shape), generator.unique(), .type(type), .none, .device(device))
  }
  /// Independent draws from the uniform distribution on [0, 1).
  public static func uniform(
    _ shape: [Int], type: ElementType = .float64, on device: Device = .cpu, using generator: inout Generator
  ) -> Tensor {
    uniform(.ints(shape), generator.unique(), .type(type), .none, .device(device))
  }
  /// Independent draws of −1 or 1, equally likely.
  public static func rademacher(
    _ shape: [Int], type: ElementType = .float64, on device: Device = .cpu, using generator: inout Generator
  ) -> Tensor {
    2 * bernoulli(zeros(shape, type: type, on: device).argument, .double(0.5), generator.unique()) - 1
  }
  /// Independent draws from the integers of a range, `int64`.
  public static func randomIntegers(
    _ shape: [Int], in range: Range<Int>, on device: Device = .cpu, using generator: inout Generator
  ) -> Tensor {
    randomRange(
      zeros(shape, type: .int64, on: device).argument, .int(range.lowerBound), .int(range.upperBound),
      generator.unique())
  }
  /// A random order of `0..<count`, `int64`.
  public static func permutation(_ count: Int, using generator: inout Generator) -> Tensor {
    randperm(.int(count), generator.unique(), .type(.int64))
  }

  private static let zeros = Operator("aten::zeros")
  private static let full = Operator("aten::full")
  private static let zerosLike = Operator("aten::zeros_like")
  private static let onesLike = Operator("aten::ones_like")
  private static let eye = Operator("aten::eye")
  private static let linspace = Operator("aten::linspace")
  private static let arange = Operator("aten::arange", "start")
  private static let normal = Operator("aten::randn", "generator", as: "normal")
  private static let uniform = Operator("aten::rand", "generator", as: "uniform")
  private static let bernoulli = Operator("aten::bernoulli_", "float")
  private static let randomRange = Operator("aten::random_", "from")
  private static let randperm = Operator("aten::randperm", "generator")
}
