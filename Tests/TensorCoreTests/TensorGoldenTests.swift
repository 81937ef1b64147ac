import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// Every operation against PyTorch's: `Tests/Golden/make_tensor.py`.
@Suite struct TensorGoldenTests {
  /// A scalar argument, or a list of them.
  enum Value: Decodable, Sendable {
    case integers([Int])
    case numbers([Double])
    case flag(Bool)
    case string(String)

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let flag = try? container.decode(Bool.self) {
        self = .flag(flag)
      } else if let integer = try? container.decode(Int.self) {
        self = .integers([integer])
      } else if let integers = try? container.decode([Int].self) {
        self = .integers(integers)
      } else if let number = try? container.decode(Double.self) {
        self = .numbers([number])
      } else {
        self = .string(try container.decode(String.self))
      }
    }
  }

  struct Case: Decodable, Sendable, CustomStringConvertible {
    let name, op, output: String
    let inputs: [String]
    let args: [String: Value]
    var description: String { name }

    func ints(_ name: String) -> [Int]? { if case .integers(let list)? = args[name] { list } else { nil } }
    func int(_ name: String, _ standard: Int = 0) -> Int { ints(name)?.first ?? standard }
    func number(_ name: String) -> Double? {
      if case .numbers(let list)? = args[name] { list[0] } else { ints(name).map { Double($0[0]) } }
    }
    func flag(_ name: String) -> Bool { if case .flag(let flag)? = args[name] { flag } else { false } }
    func string(_ name: String) -> String { if case .string(let string)? = args[name] { string } else { "" } }
    var keeps: Bool { flag("keepdim") }
  }

  typealias Operation = @Sendable ([Tensor], Case) -> Tensor

  static func unary(_ f: @escaping @Sendable (Tensor) -> Tensor) -> Operation { { t, _ in f(t[0]) } }
  static func binary(_ f: @escaping @Sendable (Tensor, Tensor) -> Tensor) -> Operation { { t, _ in f(t[0], t[1]) } }

  static let elementwise: [String: Operation] = [
    "add": binary(+), "sub": binary(-), "mul": binary(*), "div": binary(/),
    "maximum": binary(Tensor.maximum), "minimum": binary(Tensor.minimum), "atan2": binary { $0.atan2($1) },
    "pow": { t, c in c.number("exponent").map { t[0].pow($0) } ?? t[0].pow(t[1]) },
    "eq": binary(.==), "ne": binary(.!=), "lt": binary(.<), "le": binary(.<=), "gt": binary(.>), "ge": binary(.>=),
    "exp": unary { $0.exp() }, "tanh": unary { $0.tanh() }, "sigmoid": unary { $0.sigmoid() },
    "erf": unary { $0.erf() }, "erfc": unary { $0.erfc() }, "sin": unary { $0.sin() }, "cos": unary { $0.cos() },
    "abs": unary { $0.abs() }, "neg": unary(-), "square": unary { $0.squared() }, "sign": unary { $0.sign() },
    "floor": unary { $0.floor() }, "ceil": unary { $0.ceil() }, "round": unary { $0.rounded() },
    "sqrt": unary { $0.sqrt() }, "rsqrt": unary { $0.rsqrt() }, "log": unary { $0.log() },
    "reciprocal": unary { $0.reciprocal() }, "log1p": unary { $0.log1p() }, "expm1": unary { $0.expm1() },
    "softplus": unary { $0.softplus() }, "silu": unary { $0.silu() }, "relu": unary { $0.relu() },
    "gelu": unary { $0.gelu() }, "gelu.tanh": unary { $0.gelu(approximate: true) },
    "logsigmoid": unary { $0.logSigmoid() }, "elu": unary { $0.elu() },
    "leaky_relu": { t, c in t[0].leakyRelu(slope: c.number("negative_slope")!) },
    "clamp": { t, c in t[0].clamped(c.number("min"), c.number("max")) },
    "where": { t, _ in t[2].replacing(with: t[1], where: t[0]) },
    "masked_fill": { t, c in t[0].replacing(with: c.number("value")!, where: t[1]) },
  ]

  /// A reduction over no axis, one, or two.
  static func reducing(
    _ none: @escaping @Sendable (Tensor, Bool) -> Tensor, _ one: @escaping @Sendable (Tensor, Int, Bool) -> Tensor,
    _ two: @escaping @Sendable (Tensor, Int, Int, Bool) -> Tensor
  ) -> Operation {
    { t, c in
      switch c.ints("dim") {
      case .some(let axes) where axes.count == 2: two(t[0], axes[0], axes[1], c.keeps)
      case .some(let axes): one(t[0], axes[0], c.keeps)
      case nil: none(t[0], c.keeps)
      }
    }
  }

  static let reductions: [String: Operation] = [
    "sum": reducing({ $0.sum(keeping: $1) }, { $0.sum($1, keeping: $2) }, { $0.sum($1, $2, keeping: $3) }),
    "mean": reducing({ $0.mean(keeping: $1) }, { $0.mean($1, keeping: $2) }, { $0.mean($1, $2, keeping: $3) }),
    "amax": reducing({ $0.max(keeping: $1) }, { $0.max($1, keeping: $2) }, { $0.max($1, $2, keeping: $3) }),
    "amin": reducing({ $0.min(keeping: $1) }, { $0.min($1, keeping: $2) }, { $0.min($1, $2, keeping: $3) }),
    "logsumexp": reducing(
      { $0.logSumExp(keeping: $1) }, { $0.logSumExp($1, keeping: $2) }, { $0.logSumExp($1, $2, keeping: $3) }),
    "var": { t, c in
      let correction = c.number("correction") ?? 1
      return switch c.ints("dim") ?? [] {
      case let axes where axes.count == 2: t[0].variance(axes[0], axes[1], correction: correction, keeping: c.keeps)
      case let axes where axes.count == 1: t[0].variance(axes[0], correction: correction, keeping: c.keeps)
      default: t[0].variance()
      }
    },
    "std": { t, c in
      let correction = c.number("correction") ?? 1
      return switch c.ints("dim") ?? [] {
      case let axes where axes.count == 2:
        t[0].standardDeviation(axes[0], axes[1], correction: correction, keeping: c.keeps)
      case let axes where axes.count == 1: t[0].standardDeviation(axes[0], correction: correction, keeping: c.keeps)
      default: t[0].standardDeviation()
      }
    },
    "norm": { t, c in
      let order = c.number("ord")!
      return switch c.ints("dim") ?? [] {
      case let axes where axes.count == 2: t[0].norm(axes[0], axes[1], order: order, keeping: c.keeps)
      case let axes where axes.count == 1: t[0].norm(axes[0], order: order, keeping: c.keeps)
      default: order == 2 ? t[0].norm() : t[0].norm(order: order)
      }
    },
    "prod": { t, c in t[0].product(c.int("dim")) },
    "max.values": { t, c in t[0].max(c.int("dim")) }, "max.indices": { t, c in t[0].argmax(c.int("dim")) },
    "min.values": { t, c in t[0].min(c.int("dim")) }, "min.indices": { t, c in t[0].argmin(c.int("dim")) },
    "argmax": { t, c in t[0].argmax(c.ints("dim")?.first, keeping: c.keeps) },
    "argmin": { t, c in t[0].argmin(c.ints("dim")?.first, keeping: c.keeps) },
    "any": { t, c in t[0].any(c.int("dim")) }, "all": { t, c in t[0].all(c.int("dim")) },
    "softmax": { t, c in t[0].softmax(c.int("dim")) }, "log_softmax": { t, c in t[0].logSoftmax(c.int("dim")) },
    "cumsum": { t, c in t[0].cumulativeSum(c.int("dim")) }, "cumprod": { t, c in t[0].cumulativeProduct(c.int("dim")) },
    "diff": { t, c in t[0].differences(c.int("dim")) },
  ]

  static let shapes: [String: Operation] = [
    "transpose": { t, c in t[0].swapped(c.int("dim0"), c.int("dim1")) },
    "permute": { t, c in
      let axes = c.ints("dims")!
      return t[0].permuted(axes[0], axes[1], axes[2])
    },
    "reshape": { t, c in t[0].reshaped(c.ints("shape")!) },
    "reshape.transposed": { t, c in t[0].swapped(c.int("dim0"), c.int("dim1")).reshaped(c.ints("shape")!) },
    "flatten": unary(\.flattened),
    "expand": { t, c in t[0].broadcast(to: c.ints("size")!) },
    "squeeze": { t, c in t[0].squeezed(c.int("dim")) }, "unsqueeze": { t, c in t[0].expanded(at: c.int("dim")) },
    "cat": { t, c in .concatenated(t, c.int("dim")) }, "stack": { t, c in .stacked(t, c.int("dim")) },
    "narrow": { t, c in t[0].narrowed(c.int("dim"), from: c.int("start"), count: c.int("length")) },
    "select": { t, c in t[0][Axis.all, c.int("index")] },
    "slice": { t, c in t[0][Axis.rest, Axis.every(c.int("step"))] },
    "chunk": { t, c in
      let (axis, chunks) = (c.int("dim"), c.int("chunks"))
      return t[0].split((t[0].shape[axis] + chunks - 1) / chunks, axis)[c.int("index")]
    },
    "index_select": { t, c in t[0].selecting(t[1], c.int("dim")) },
    "gather": { t, c in t[0].gathered(t[1], c.int("dim")) },
    "flip": { t, c in t[0].reversed(c.ints("dims")![0], c.ints("dims")![1]) },
    "roll": { t, c in
      zip(c.ints("shifts")!, c.ints("dims")!).reduce(t[0]) { $0.rolled(by: $1.0, $1.1) }
    },
    "repeat": { t, c in
      let counts = c.ints("repeats")!
      return t[0].tiled(counts[0], counts[1], counts[2])
    },
    "repeat_interleave": { t, c in t[0].repeated(c.int("repeats"), c.int("dim")) },
    "tril": { t, c in t[0].triangle(lower: true, diagonal: c.int("diagonal")) },
    "triu": { t, c in t[0].triangle(lower: false, diagonal: c.int("diagonal")) },
    "diag": unary(\.diagonalMatrix), "diagonal": unary(\.diagonal),
    "one_hot": { t, c in t[0].oneHot(c.int("num_classes")) },
    "pad": { t, c in
      let widths = c.ints("pad")!
      return t[0].padded(widths[0], widths[1], widths[2], widths[3], with: c.number("value")!)
    },
    "unfold": { t, c in
      let size = c.ints("kernel_size")!
      return t[0].windows(size[0], size[1], stride: c.int("stride"), padding: c.int("padding"))
    },
    "sort.values": { t, c in t[0].sorted(c.int("dim"), descending: c.flag("descending")).values },
    "sort.indices": { t, c in t[0].sorted(c.int("dim"), descending: c.flag("descending")).positions },
    "argsort": { t, c in t[0].sorted(c.int("dim")).positions },
    "topk.values": { t, c in t[0].top(c.int("k"), largest: c.flag("largest")).values },
    "topk.indices": { t, c in t[0].top(c.int("k"), largest: c.flag("largest")).positions },
  ]

  static let linearAlgebra: [String: Operation] = [
    "matmul": binary { $0.matmul($1) },
    "einsum": { t, c in
      switch t.count {
      case 1: .einsum(c.string("equation"), t[0])
      case 2: .einsum(c.string("equation"), t[0], t[1])
      default: .einsum(c.string("equation"), t[0], t[1], t[2])
      }
    },
    "solve": binary { $0.solve($1) },
    "triangular_solve": { t, c in t[0].solveTriangular(t[1], upper: c.flag("upper")) },
    "lstsq": binary { $0.leastSquares($1) },
    "cholesky": unary { $0.cholesky() }, "inv": unary { $0.inverse() }, "det": unary { $0.determinant() },
    "slogdet.sign": unary { $0.logDeterminant().sign }, "slogdet.logabsdet": unary { $0.logDeterminant().logMagnitude },
    "eigh.values": unary { $0.eigh().values },
    "eigh.reconstruct": unary { a in
      let (values, vectors) = a.eigh()
      return vectors.matmul(values.diagonalMatrix).matmul(vectors.transposed)
    },
    "qr.r": unary { $0.qr().r },
    "qr.reconstruct": unary { a in
      let (q, r) = a.qr()
      return q.matmul(r)
    },
    "svd.values": unary { $0.svd().s },
    "svd.reconstruct": unary { a in
      let (u, s, v) = a.svd()
      return (u * s).matmul(v)
    },
    "trace": unary(\.trace), "matrix_exp": unary { $0.matrixExponential() },
    "cdist": binary { $0.distances(to: $1) },
  ]

  static let layers: [String: Operation] = [
    "linear": { t, _ in t[0].linear(t[1], bias: t[2]) },
    "conv2d": { t, c in
      t[0].convolved(
        t[1], bias: t.count > 2 ? t[2] : nil, stride: c.int("stride"), padding: c.int("padding"),
        dilation: c.int("dilation", 1), groups: c.int("groups", 1))
    },
    "conv_transpose2d": { t, c in
      t[0].convolvedTransposed(
        t[1], bias: t.count > 2 ? t[2] : nil, stride: c.int("stride"), padding: c.int("padding"),
        outputPadding: c.int("output_padding"))
    },
    "avg_pool2d": { t, c in t[0].averagePooled(c.int("kernel_size"), stride: c.int("stride")) },
    "max_pool2d": { t, c in t[0].maxPooled(c.int("kernel_size"), stride: c.int("stride")) },
    "upsample_nearest": { t, c in t[0].upsampledNearest(c.int("scale_factor")) },
    "group_norm": { t, c in
      t[0].groupNormalized(
        groups: c.int("num_groups"), weight: t.count > 1 ? t[1] : nil, bias: t.count > 2 ? t[2] : nil,
        epsilon: c.number("eps")!)
    },
    "layer_norm": { t, c in
      t[0].layerNormalized(
        weight: t.count > 1 ? t[1] : nil, bias: t.count > 2 ? t[2] : nil, epsilon: c.number("eps")!,
        axes: c.ints("normalized_shape")!.count)
    },
    "rms_norm": { t, c in t[0].rmsNormalized(weight: t[1], epsilon: c.number("eps")!) },
    "scaled_dot_product_attention": { t, c in
      let causal = Tensor.ones([t[0].shape[2], t[1].shape[2]], type: .bool).triangle(lower: true)
      return .attention(
        query: t[0], key: t[1], value: t[2], scale: c.number("scale"),
        mask: t.count > 3 ? t[3] : c.flag("is_causal") ? causal : nil)
    },
    "embedding": { t, _ in t[1][t[0]] },
    "mse_loss": binary { ($0 - $1).squared().mean() },
    "smooth_l1_loss": { t, c in
      let (error, beta) = ((t[0] - t[1]).abs(), c.number("beta")!)
      return (error.squared() / (2 * beta)).replacing(with: error - beta / 2, where: error .>= beta).mean()
    },
    "cross_entropy": binary { logits, classes in
      -logits.logSoftmax(1).gathered(classes.expanded(at: 1), 1).mean()
    },
  ]

  static let operations = [elementwise, reductions, shapes, linearAlgebra, layers].reduce(into: [:]) { all, chapter in
    all.merge(chapter) { _, second in second }
  }

  static let golden = Result { try Golden("tensor") }
  static let cases = (try? golden.get().metadata("cases", as: [Case].self)) ?? []

  @Test("all 284 cases are there") func complete() throws {
    #expect(Self.cases.count == 284)
    #expect(Set(Self.cases.map(\.op)).subtracting(Self.operations.keys).isEmpty)
  }

  @Test("operations give PyTorch's values, types and shapes", arguments: Array(Set(cases.map(\.op))).sorted())
  func agrees(_ op: String) throws {
    let golden = try Self.golden.get()
    let operation = try #require(Self.operations[op])
    for test in Self.cases where test.op == op {
      let found = operation(try test.inputs.map { try golden[$0] }, test)
      let expected = try golden[test.output]
      #expect(found.shape == expected.shape && found.elementType == expected.elementType, "\(test)")
      // Where an infinity is right, nothing else is; the rest is compared with what is finite.
      let finite = expected.isFinite()
      #expect((found .== expected).replacing(with: 1, where: finite).all(), "\(test)")
      let (a, b) = (found.to(.float64), expected.to(.float64))
      // Functions of single elements are right for small ones too; sums are right for their size.
      let size = Self.elementwise[op] == nil ? b.replacing(with: 0, where: .!finite).abs().max() : b.abs()
      let tolerance = expected.elementType == .float32 ? 1e-5 : expected.elementType == .float64 ? 1e-12 : 0
      #expect((((a - b).abs() .<= tolerance * size) .| .!finite).all(), "\(test)")
    }
  }
}
