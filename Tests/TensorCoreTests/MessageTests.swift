import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// What a program that asks for the impossible is told as it stops.
@Suite struct MessageTests {
  struct Mistake: Sendable {
    let message: String
    let body: @Sendable () -> Void
    init(_ message: String, _ body: @escaping @Sendable () -> Void) { (self.message, self.body) = (message, body) }
  }

  static let mistakes: [String: Mistake] = [
    "broadcast": Mistake("+([2], [3]): The size of tensor a (2) must match the size of tensor b (3)") {
      _ = Tensor([1.0, 2]) + Tensor([1.0, 2, 3])
    },
    "product": Mistake("matmul([2, 3], [2, 3]): mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)") {
      _ = Tensor.ones([2, 3]).matmul(.ones([2, 3]))
    },
    "rank": Mistake("subscript([2, 2]): 3 indices for 2 axes") { _ = Tensor.ones([2, 2])[0, 0, 0] },
    "mask of higher rank": Mistake("subscript([2]): 2 indices for 1 axes") {
      _ = Tensor.ones([2])[Tensor.ones([2, 2], type: .bool)]
    },
    "rest twice": Mistake("subscript([2, 2]): .rest stands twice") { _ = Tensor.ones([2, 2])[Axis.rest, Axis.rest] },
    "index": Mistake("subscript([3]): select(): index 5 out of range for tensor of size [3] at dimension 0") {
      _ = Tensor.ones([3])[5]
    },
    "position": Mistake("subscript([3], [1]): index 3 is out of bounds for dimension 0 with size 3") {
      _ = Tensor.ones([3])[Tensor([3])]
    },
    "fractional position": Mistake("subscript([3], [1]): tensors used as indices must be") {
      _ = Tensor.ones([3])[Tensor([1.0])]
    },
    "reshape": Mistake("reshape([6]): shape '[4]' is invalid for input of size 6") { _ = Tensor.ones([6]).reshaped(4) },
    "item": Mistake("item([2]): needs exactly one element") { _ = Tensor.ones([2]).item },
    "batch": Mistake("batch: a scalar has no axes") { _ = Tensor(scalar: 1).batch },
    "rows": Mistake("Tensor(rows:): rows of lengths [2, 1]") { _ = Tensor(rows: [[1, 2], [3]]) },
    "values": Mistake("Tensor([3]): needs 3 values, got 2") { _ = Tensor([1.0, 2], shape: [3]) },
    "type": Mistake("Tensor(HostArray): libtorch has no float6_e2m3fn") {
      _ = Tensor(HostArray(.float6E2M3, shape: [4], bytes: Bytes(count: 3) { _ in }))
    },
    "created type": Mistake("elementType: libtorch has no float6_e3m2fn") { _ = Tensor.zeros([4], type: .float6E3M2) },
    "gradient of a vector": Mistake("gradient([2]): the function's result needs exactly one element") {
      _ = gradient(at: Tensor([1.0, 2])) { $0 * 2 }
    },
    "gradient of integers": Mistake("gradient([2] int64): only floating-point numbers have derivatives") {
      _ = gradient(at: Tensor([1, 2])) { $0.sum() }
    },
    "direction": Mistake("jvp([2] float64, [3] float64): point and direction differ") {
      _ = jvp(at: Tensor([1.0, 2]), along: Tensor([1.0, 2, 3])) { $0 }
    },
    "direction's type": Mistake("jvp([2] float64, [2] float32): point and direction differ") {
      _ = jvp(at: Tensor([1.0, 2]), along: Tensor([1.0, 2]).to(.float32)) { $0 }
    },
    "forward derivative of integers": Mistake("jvp([2] int64): only floating-point numbers have derivatives") {
      _ = jvp(at: Tensor([1, 2]), along: Tensor([1, 2])) { $0 }
    },
    "cotangent": Mistake("pullback([3]): the function's result has shape [2]") {
      _ = vjp(at: Tensor([1.0, 2])) { $0 * 2 }.pullback(Tensor([1.0, 2, 3]))
    },
    "value inside vmap": Mistake("values([]): the values of one element cannot be read inside vmap") {
      _ = vmap(over: Tensor([1.0, 2])) { Tensor(scalar: $0.item) }
    },
    "vmap of a scalar": Mistake("batch: a scalar has no axes") { _ = vmap(over: Tensor(scalar: 1)) { $0 } },
    "singular": Mistake("solve([2, 2]): torch.linalg.lu_factor: U[2,2] is zero") {
      _ = Tensor(rows: [[1, 2], [2, 4]]).solve(Tensor([1.0, 1]))
    },
    "threads": Mistake("threads: needs at least one, got 0") { Threads.count = 0 },
    "state": Mistake("Generator(restoring:): ") { _ = Generator(restoring: Tensor([1, 2]).to(.uint8)) },
    "device": Mistake("synchronize(cuda:99): ") { Device.cuda(99).synchronize() },
  ]

  @Test("a mistake stops the process with the operation, the shapes and the reason", arguments: mistakes.keys.sorted())
  func mistake(_ name: String) async throws {
    let expected = try #require(Self.mistakes[name])
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [name] in
      Self.mistakes[name]?.body()
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(words.contains("Fatal error: \(expected.message)"), "\(words.prefix(400))")
  }
}
