import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct GeneratorTests {
  /// Every kind of draw, small and large enough for several threads.
  static let draws: [String: @Sendable (inout Generator) -> Tensor] = [
    "normal": { .normal([100_003], using: &$0) },
    "normal, float32": { .normal([100_003], type: .float32, using: &$0) },
    "uniform": { .uniform([7, 1001], using: &$0) },
    "rademacher": { .rademacher([300, 301], using: &$0) },
    "integers": { .randomIntegers([100_000], in: -3..<1000, using: &$0) },
    "permutation": { .permutation(50_000, using: &$0) },
    "few": { .normal([3], using: &$0) },
  ]

  @Test("the same seed gives the same bits on one thread and on two", arguments: draws.keys.sorted())
  func threads(_ name: String) throws {
    let draw = try #require(Self.draws[name])
    let found = [1, 2].map { count in
      withThreads(count) {
        var generator = Generator(seed: 42)
        return [draw(&generator), draw(&generator)]
      }
    }
    #expect(found[0][0].isIdentical(to: found[1][0]) && found[0][1].isIdentical(to: found[1][1]))
    #expect(!found[0][0].isIdentical(to: found[0][1]), "the second draw is another")
  }

  @Test("seeds below 2³² give PyTorch's numbers")
  func pytorch() {
    var generator = Generator(seed: 42)
    // torch.randn(3, generator=torch.Generator().manual_seed(42), dtype=torch.float64)
    expectClose(
      Tensor.normal([3], using: &generator), Tensor([0.33669035438385886, 0.1288094051365897, 0.23446236336153173]),
      within: 0)
  }

  @Test("every bit of a seed counts")
  func seeds() {
    var first: Set<UInt64> = []
    for bit in 0..<64 {
      var generator = Generator(seed: 1 << UInt64(bit))
      first.insert(generator.next())
    }
    #expect(first.count == 64)
  }

  @Test("a copy goes its own way from the same state")
  func copies() {
    var a = Generator(seed: 7)
    _ = Tensor.normal([5], using: &a)
    var b = a
    let fromA = [Tensor.normal([4], using: &a), Tensor.uniform([4], using: &a)]
    let fromB = [Tensor.normal([4], using: &b), Tensor.uniform([4], using: &b)]
    #expect(fromA[0].isIdentical(to: fromB[0]) && fromA[1].isIdentical(to: fromB[1]))
    var c = b
    _ = c.next()
    #expect(b.next() == a.next() && c.next() != 0)
  }

  @Test("a saved state goes on where it was, also in the middle of a pair of normal numbers")
  func saving() {
    var generator = Generator(seed: 3)
    for count in [0, 1, 2, 17, 1000] {
      _ = Tensor.normal([count], using: &generator)
      let saved = generator.saved
      #expect(saved.elementType == .uint8 && saved.rank == 1)
      let host = saved.hostArray
      var restored = Generator(restoring: Tensor(host))
      #expect(restored.saved.isIdentical(to: saved))
      #expect(Tensor.normal([33], using: &restored).isIdentical(to: .normal([33], using: &generator)))
      #expect(restored.next() == generator.next())
    }
  }

  @Test("Swift's random functions take it, and it fills all 64 bits")
  func conformance() {
    var a = Generator(seed: 11)
    var b = Generator(seed: 11)
    #expect((0..<10).shuffled(using: &a) == (0..<10).shuffled(using: &b))
    #expect(Double.random(in: 0..<1, using: &a) == Double.random(in: 0..<1, using: &b))
    let words = (0..<256).map { _ in a.next() }
    #expect(Set(words).count == 256)
    // Each bit is set in half of the words, within four standard errors.
    for bit in 0..<64 {
      let count = words.count { $0 >> UInt64(bit) & 1 == 1 }
      #expect(abs(Double(count) - 128) <= 4 * 8)
    }
  }

  @Test("means, variances and frequencies are right within four standard errors")
  func statistics() {
    var generator = Generator(seed: 5)
    let n = 1_000_000
    func check(_ sample: Tensor, mean: Double, variance: Double, fourth: Double, _ what: Comment) {
      let found = sample.to(.float64)
      let error = (variance / Double(n)).squareRoot()
      #expect(abs(found.mean().item - mean) <= 4 * error, what)
      // The variance of a sample variance is (μ₄ − σ⁴)/n; rademacher's has no spread but that of the mean.
      let spread = Swift.max((fourth - variance * variance) / Double(n), 1e-10).squareRoot()
      #expect(abs(found.variance().item - variance) <= 4 * spread, what)
    }
    check(.normal([n], using: &generator), mean: 0, variance: 1, fourth: 3, "normal")
    check(.normal([n], type: .float32, using: &generator), mean: 0, variance: 1, fourth: 3, "normal, float32")
    check(.uniform([n], using: &generator), mean: 0.5, variance: 1.0 / 12, fourth: 1.0 / 80, "uniform")
    check(.rademacher([n], using: &generator), mean: 0, variance: 1, fourth: 1, "rademacher")

    let normal = Tensor.normal([n], using: &generator)
    #expect(abs(normal.pow(3).mean().item) <= 4 * (15 / Double(n)).squareRoot(), "third moment")
    let inside = (normal.abs() .< 1).to(.float64).mean().item
    #expect(abs(inside - 0.6826894921370859) <= 4 * (0.2166 / Double(n)).squareRoot(), "within one standard deviation")
    let pairs = normal.reshaped(-1, 2)
    #expect(
      abs((pairs[Axis.all, 0] * pairs[Axis.all, 1]).mean().item) <= 4 * (2 / Double(n)).squareRoot(), "neighbours")

    let uniform = Tensor.uniform([n], using: &generator)
    #expect((uniform .>= 0).all() && (uniform .< 1).all())
    #expect((Tensor.rademacher([n], using: &generator).abs() .== 1).all())

    let integers = Tensor.randomIntegers([n], in: -2..<3, using: &generator)
    #expect(integers.elementType == .int64)
    for value in -2..<3 {
      let frequency = (integers .== Double(value)).to(.float64).mean().item
      #expect(abs(frequency - 0.2) <= 4 * (0.16 / Double(n)).squareRoot(), "\(value)")
    }
    #expect((integers .>= -2).all() && (integers .< 3).all())
  }

  @Test("a permutation has every number once, and each order is as likely")
  func permutations() {
    var generator = Generator(seed: 9)
    let order = Tensor.permutation(1000, using: &generator)
    #expect(order.elementType == .int64 && order.sorted().values.isIdentical(to: .arange(0..<1000)))
    #expect(Tensor.permutation(0, using: &generator).shape == [0])
    var counts: [[Int]: Int] = [:]
    for _ in 0..<6000 { counts[Tensor.permutation(3, using: &generator).integers, default: 0] += 1 }
    #expect(counts.count == 6)
    for count in counts.values { #expect(abs(Double(count) - 1000) <= 4 * (6000.0 * 5 / 36).squareRoot()) }
  }
}
