import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct GradientClippingTests {
  @Test("gradients beyond the norm are PyTorch's", arguments: [ElementType.float32, .float64])
  func golden(_ type: ElementType) throws {
    struct Norms: Decodable { let maximum, float32, float64: Double }
    let world = try AdamWTests.World(type)
    let norms: Norms = try world.golden.metadata("norms")
    var gradients = try world.gradients(1)
    let norm = GradientClipping(maximumNorm: norms.maximum)(&gradients)
    let (expected, tolerance) = type == .float32 ? (norms.float32, 1e-6) : (norms.float64, 1e-14)
    #expect(abs(norm - expected) <= tolerance * expected)
    for (gradient, clipped) in zip(gradients, try world.all("clipped")) {
      expectClose(gradient, clipped, within: tolerance)
    }
    // A millionth below the bound, by the 10⁻⁶ beside the norm.
    #expect(abs(globalNorm(of: gradients) / (norms.maximum * expected / (expected + 1e-6)) - 1) < 1e-6)
  }

  @Test("gradients within the norm, and those without a finite one, stay what they are")
  func untouched() {
    let small = [Tensor([3.0, 0]), Tensor(scalar: 4)]
    var gradients = small
    #expect(GradientClipping(maximumNorm: 5.1)(&gradients) == 5)
    AdamWTests.expectIdentical(gradients, small)
    for bad in [Double.nan, .infinity] {
      gradients = [Tensor([1.0, bad]), Tensor([2.0])]
      #expect(!GradientClipping(maximumNorm: 1)(&gradients).isFinite)
      #expect(gradients[0].doubles[0] == 1 && gradients[1].doubles == [2])
    }
    gradients = []
    #expect(GradientClipping(maximumNorm: 1)(&gradients) == 0)
  }

  @Test("a copy of the gradients is not clipped with them")
  func copies() {
    var gradients = [Tensor([3.0, 4])]
    let kept = gradients
    #expect(GradientClipping(maximumNorm: 1)(&gradients) == 5)
    #expect(kept[0].doubles == [3, 4])
    expectClose(gradients[0], Tensor([0.6, 0.8]), within: 1e-6)
  }

  @Test("two gradients that are one tensor are scaled once")
  func twins() {
    let (x, weights) = (Tensor([1.0, 2]), Tensor([3.0, 4]))
    var gradients = valueAndGradients(at: [x, x]) { (($0[0] + $0[1]) * weights).sum() }.gradients
    #expect(abs(GradientClipping(maximumNorm: 0.5)(&gradients) - 50.0.squareRoot()) < 1e-14)
    for gradient in gradients { expectClose(gradient, weights * (0.5 / 50.0.squareRoot()), within: 1e-6) }
  }

  @Test("the norm of half-precision gradients does not overflow")
  func half() {
    // The largest is 65,504.
    let norm = globalNorm(of: [Tensor([30_000.0, 40_000]).to(.float16), Tensor([50_000.0]).to(.float16)])
    #expect(abs(norm - 70_711) < 50)
  }
}
