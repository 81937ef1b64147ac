import Scorefield
import ScorefieldTestSupport
import Testing

/// libtorch lacks some second derivatives, and gives others that are silently wrong: each is asked for in every order.
@Suite struct SecondDerivativeTests {
  typealias Function = @Sendable (Tensor) -> Tensor

  static let weight = SplitMix(seed: 1).unit([4, 4, 3, 3])
  static let matrix = SplitMix(seed: 2).unit([4, 4])
  static let regular = matrix.matmul(matrix.transposed) + .identity(4)
  static let vector = SplitMix(seed: 3).unit([4])

  /// What is made while a derivative is taken belongs to it; these are shared.
  init() { _ = (Self.weight, Self.regular, Self.vector) }

  /// Functions of `[2, 4, 4, 4]`.
  static let functions: [String: Function] = [
    "exp": { $0.exp() }, "expm1": { $0.expm1() }, "log": { ($0.squared() + 1).log() },
    "log2": { ($0.squared() + 1).log2() }, "log10": { ($0.squared() + 1).log10() },
    "log1p": { $0.squared().log1p() }, "sqrt": { ($0.squared() + 1).sqrt() }, "rsqrt": { ($0.squared() + 1).rsqrt() },
    "reciprocal": { ($0.squared() + 1).reciprocal() }, "quotient": { 1 / ($0.squared() + 1) / vector },
    "sin": { $0.sin() }, "cos": { $0.cos() }, "tan": { $0.tanh().tan() }, "asin": { (0.5 * $0.tanh()).asin() },
    "acos": { (0.5 * $0.tanh()).acos() }, "atan": { $0.atan() }, "sinh": { $0.sinh() }, "cosh": { $0.cosh() },
    "tanh": { $0.tanh() }, "erf": { $0.erf() }, "erfc": { $0.erfc() }, "erfinv": { $0.tanh().erfinv() },
    "sigmoid": { $0.sigmoid() }, "logSigmoid": { $0.logSigmoid() }, "relu": { $0.sin().relu() },
    "leakyRelu": { $0.sin().leakyRelu() }, "elu": { $0.elu() }, "silu": { $0.silu() }, "softplus": { $0.softplus() },
    "gelu": { $0.gelu() }, "gelu by tanh": { $0.gelu(approximate: true) }, "abs": { $0.sin().abs() },
    "pow": { ($0.squared() + 1).pow(1.5) }, "pow of tensors": { ($0.squared() + 1).pow($0) },
    "atan2": { $0.atan2(vector) }, "clamped": { $0.clamped(-1, 1).sin() },
    "maximum": { Tensor.maximum($0, vector).sin() }, "replacing": { $0.replacing(with: vector, where: $0 .> 0).sin() },
    "sum": { $0.sin().sum(1, 2) }, "mean": { $0.sin().mean(-1) }, "variance": { $0.variance(-1) },
    "standardDeviation": { $0.standardDeviation(-1) }, "max": { $0.max(-1).sin() }, "logSumExp": { $0.logSumExp(-1) },
    "norm": { $0.norm(-1) }, "norm of order 3": { $0.norm(-1, order: 3) }, "product": { $0.product(-1) },
    "cumulativeSum": { $0.cumulativeSum(1).sin() }, "cumulativeProduct": { $0.cumulativeProduct(1) },
    "differences": { $0.differences(2).sin() }, "quantile": { $0.quantile(0.3, -1).sin() },
    "softmax": { $0.softmax(-1) }, "logSoftmax": { $0.logSoftmax(1) },
    "matmul": { $0.matmul($0.sin()) }, "einsum": { .einsum("bchw,bchv->bwv", $0, $0) }, "dot": { $0.dot($0.sin()) },
    "squaredDistances": { $0.reshaped(32, 4).squaredDistances(to: matrix) },
    "solve": { ($0 + 5 * .identity(4)).solve(matrix) }, "solve of a vector": { ($0 + 5 * .identity(4)).solve(vector) },
    "solve on the right": { regular.solve($0).sin() },
    "solveTriangular": { ($0 + 5 * .identity(4)).solveTriangular(matrix, upper: true) },
    "leastSquares": { ($0 + 5 * .identity(4)).leastSquares(matrix.broadcast(to: [2, 4, 4, 4])) },
    "inverse": { ($0 + 5 * .identity(4)).inverse() },
    "cholesky": { ($0.matmul($0.transposed) + .identity(4)).cholesky() },
    "eigh": { ($0 + $0.transposed).eigh().values }, "qr": { $0.qr().r }, "svd": { $0.svd().s },
    "determinant": { $0.determinant() }, "logDeterminant": { $0.logDeterminant().logMagnitude },
    "matrixExponential": { $0.matrixExponential() }, "trace": { $0.sin().trace },
    "linear": { $0.linear(matrix, bias: vector).sin() }, "convolved": { $0.convolved(weight, padding: 1).sin() },
    "convolved with stride": { $0.convolved(weight, stride: 2, padding: 1).sin() },
    "convolvedTransposed": { $0.convolvedTransposed(weight, stride: 2).sin() },
    "averagePooled": { $0.averagePooled(2).sin() }, "maxPooled": { $0.maxPooled(2).sin() },
    "windows": { $0.windows(3, 2, stride: 2, padding: 1).sin() }, "upsampledNearest": { $0.upsampledNearest(2).sin() },
    "padded": { $0.padded(1, 2).sin() },
    "groupNormalized": { $0.groupNormalized(groups: 2, weight: vector, bias: vector) },
    "layerNormalized": { $0.layerNormalized(weight: vector, bias: vector) },
    "rmsNormalized": { $0.rmsNormalized(weight: vector) },
    "attention": { .attention(query: $0, key: $0, value: $0) },
    "masked attention": {
      .attention(query: $0, key: $0, value: $0, mask: Tensor.ones([4, 4], type: .bool).triangle(lower: true))
    },
    "reshaped": { $0.reshaped(8, 16).sin() }, "permuted": { $0.permuted(3, 1, 0, 2).sin() },
    "broadcast": { $0[0..<1].broadcast(to: [2, 4, 4, 4]).sin() }, "tiled": { $0.tiled(2).sin() },
    "repeated": { $0.repeated(2, 1).sin() }, "reversed": { $0.reversed(1, 2).sin() },
    "rolled": { $0.rolled(by: 1, 0).sin() }, "concatenated": { .concatenated([$0, $0.sin()]) },
    "stacked": { .stacked([$0, $0.sin()], 1) }, "split": { $0.split(3, 1)[0].sin() },
    "narrowed": { $0.narrowed(1, from: 1, count: 2).sin() }, "selecting": { $0.selecting(Tensor([1, 1, 0])).sin() },
    "gathered": { $0.gathered(.ones([2, 4, 4, 2], type: .int64), 3).sin() }, "top": { $0.top(2).values.sin() },
    "sorted": { $0.sorted().values.sin() }, "triangle": { $0.triangle(lower: true).sin() },
    "diagonal": { $0.diagonal.sin() }, "diagonalMatrix": { $0.diagonalMatrix.sin() },
    "subscript": { $0[Tensor([true, false], shape: [2]), 1..., Axis.new, Tensor([3, 0, 3])].sin() },
  ]

  @Test("second derivatives agree in every order, and with differences", arguments: functions.keys.sorted())
  func agree(_ name: String) throws {
    let f = try #require(Self.functions[name])
    func energy(_ x: Tensor) -> Tensor { f(x).squared().sum() }
    let x = SplitMix(seed: 4).unit([2, 4, 4, 4])
    let v = SplitMix(seed: 5).unit(x.shape)

    let product = gradient(at: x) { (gradient(at: $0, of: energy) * v).sum() }
    let forwardLast = jvp(at: x, along: v) { gradient(at: $0, of: energy) }.derivative
    expectClose(forwardLast, product, within: 1e-12, "forward last")
    let forwardFirst = gradient(at: x) { jvp(at: $0, along: v, of: energy).derivative }
    expectClose(forwardFirst, product, within: 1e-12, "forward first")
    let twice = jvp(at: x, along: v) { y in jvp(at: y, along: v, of: energy).derivative }.derivative
    let scale = (product * v).abs().sum().item
    #expect(abs(twice.item - (product * v).sum().item) <= 1e-12 * scale, "forward twice")

    let h = 1e-5
    let difference = (gradient(at: x + h * v, of: energy) - gradient(at: x - h * v, of: energy)) / (2 * h)
    expectClose(product, difference, within: 1e-6, "differences")
  }

  @Test("squared distances are exact where products would cancel")
  func distances() {
    let a = Tensor(rows: [[1e8, 1], [0, 0]])
    let b = Tensor(rows: [[1e8, 2], [1e8, 1]])
    expectClose(a.squaredDistances(to: b)[0], Tensor([1.0, 0]), within: 0)
    expectClose(a.squaredDistances(to: b), a.distances(to: b).squared(), within: 0)
    let slope = gradient(at: a) { $0.squaredDistances(to: b)[0].sum() }
    expectClose(slope, Tensor(rows: [[0, -2], [0, 0]]), within: 1e-12)
  }
}
