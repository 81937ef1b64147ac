import Scorefield
import ScorefieldTestSupport
import Testing

/// Expected values are NumPy's for `numpy.arange(24).reshape(2, 3, 4)`.
@Suite struct SubscriptTests {
  let x = Tensor.arange(0..<24).reshaped(2, 3, 4)

  func expect(
    _ actual: Tensor, _ shape: [Int], _ values: [Int], sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(actual.shape == shape, sourceLocation: sourceLocation)
    #expect(actual.integers == values, sourceLocation: sourceLocation)
  }

  @Test("numbers take an axis away and count from the end where negative")
  func positions() {
    expect(x[1, 2, 3], [], [23])
    expect(x[-1, 0, -4], [], [12])
    expect(x[1, 0], [4], [12, 13, 14, 15])
    expect(x[-2], [3, 4], Array(0..<12))
  }

  @Test("ranges keep the axis, count from the end where negative, and are cut at its end")
  func ranges() {
    expect(x[0, 1, 1..<3], [2], [5, 6])
    expect(x[0, 1, 1...2], [2], [5, 6])
    expect(x[0, 1, 2...], [2], [6, 7])
    expect(x[0, 1, ..<2], [2], [4, 5])
    expect(x[0, 1, ...2], [3], [4, 5, 6])
    expect(x[0, 1, -3 ..< -1], [2], [5, 6])
    expect(x[0, 1, (-2)...], [2], [6, 7])
    expect(x[0, 1, ..<(-1)], [3], [4, 5, 6])
    expect(x[0, 1, -3 ... -1], [3], [5, 6, 7])
    expect(x[0, 1, ...(-1)], [4], [4, 5, 6, 7])
    expect(x[0, 1, 2..<9], [2], [6, 7])
    expect(x[0, 1, 4..<9], [0], [])
    expect(x[0, 1, 2..<2], [0], [])
    expect(x[1..., 0..<2, 3], [1, 2], [15, 19])
  }

  @Test("all, new, rest and every")
  func axes() {
    expect(x[Axis.all, 0, 0], [2], [0, 12])
    expect(x[Axis.rest, 0], [2, 3], [0, 4, 8, 12, 16, 20])
    expect(x[1, Axis.rest, 0], [3], [12, 16, 20])
    expect(x[1, 1, Axis.rest, 2], [], [18])
    expect(x[0, 0, 0, Axis.rest], [], [0])
    expect(x[Axis.rest, 1, Axis.every(2)], [2, 2], [4, 6, 16, 18])
    expect(x[Axis.every(2), 2, Axis.every(3)], [1, 2], [8, 11])
    expect(x[Axis.new, 0, 0], [1, 4], [0, 1, 2, 3])
    expect(x[0, Axis.new, 0, Axis.new], [1, 1, 4], [0, 1, 2, 3])
    expect(x[0, 0, Axis.rest, Axis.new], [4, 1], [0, 1, 2, 3])
  }

  @Test("masks choose elements in row-major order and may span several axes")
  func masks() {
    expect(x[Tensor([false, true], shape: [2]), 0, 0], [1], [12])
    expect(x[0, Axis.all, Tensor([true, false, false, true], shape: [4])], [3, 2], [0, 3, 4, 7, 8, 11])
    let rows = Tensor([true, false, false, false, true, true], shape: [2, 3])
    expect(x[rows], [3, 4], [0, 1, 2, 3, 16, 17, 18, 19, 20, 21, 22, 23])
    expect(x[rows, 1...2], [3, 2], [1, 2, 17, 18, 21, 22])
    expect(x[rows, Tensor([3, 0, 1])], [3], [3, 16, 21])
    expect(x[rows, 2], [3], [2, 18, 22])
    expect(x[Axis.new, rows], [1, 3, 4], [0, 1, 2, 3, 16, 17, 18, 19, 20, 21, 22, 23])
    expect(x[x .>= 21], [3], [21, 22, 23])
    expect(x[x .< 0], [0], [])
  }

  @Test("positions take their common shape, in any integer type")
  func tensors() {
    expect(x[0, Tensor([2, 0]), 1], [2], [9, 1])
    expect(x[Tensor([1, -1, 0])], [3, 3, 4], Array(12..<24) + Array(12..<24) + Array(0..<12))
    expect(x[1, Tensor([0, 2]), Tensor([3, 1])], [2], [15, 21])
    expect(x[1, Tensor([0, 2], shape: [2, 1]), Tensor([3, 1])], [2, 2], [15, 13, 23, 21])
    expect(x[Tensor([0, 1]), Axis.all, Tensor([1, 2])], [2, 3], [1, 5, 9, 14, 18, 22])
    expect(x[Axis.all, Tensor([0, 1]), Tensor([1, 2])], [2, 2], [1, 6, 13, 18])
    expect(x[1..., Axis.new, Tensor([2, 0]), 1...2], [1, 1, 2, 2], [21, 22, 13, 14])
    expect(x[Axis.rest, Tensor([3, 3])], [2, 3, 2], (0..<6).flatMap { [4 * $0 + 3, 4 * $0 + 3] })
    expect(x[0, 0, Tensor([] as [Int])], [0], [])
    for type in ElementType.allCases where type.isInteger && type.bitWidth <= 32 && type != .uint32 {
      expect(x[0, 0, Tensor([1, 0, 1, 3]).to(type)], [4], [1, 0, 1, 3])
    }
    // As in PyTorch, a number takes its axis away first.
    expect(x[0, Axis.all, Tensor([3, 1])], [3, 2], [3, 1, 7, 5, 11, 9])
  }

  @Test("a part of a part is the part")
  func composition() {
    let part = x[1...][0, Axis.every(2)]
    expect(part, [2, 4], [12, 13, 14, 15, 20, 21, 22, 23])
    expect(part.transposed[1], [2], [13, 21])
  }
}
