import Scorefield
import ScorefieldTestSupport
import Testing

/// Gradients at the outermost level are taken by libtorch's ordinary tape; everything nested in it, by layers.
@Suite struct TapeTests {
  let x = Tensor([0.3, -1.2, 0.8])
  let v = Tensor([1.0, 0.5, -2.0])

  /// `∂/∂w Σ v ∂(w sin x)/∂x` and the same of cubes of the derivative, by every inner transform.
  static let derivatives: [String: @Sendable (Tensor, Tensor) -> Tensor] = [
    "gradient": { w, x in gradient(at: x) { (w * $0.sin()).sum() } },
    "vjp": { w, x in vjp(at: x) { w * $0.sin() }.pullback(.ones(like: x)) },
    "jvp": { w, x in jvp(at: x, along: .ones(like: x)) { w * $0.sin() }.derivative },
    "vmap of vjp": { w, x in
      let (_, pullback) = vjp(at: x) { w * $0.sin() }
      return vmap(over: .identity(3), pullback).sum(0)
    },
    "jvp of gradient": { w, x in
      jvp(at: w, along: w) { u in gradient(at: x) { (u * $0.sin()).sum() } }.derivative
    },
  ]

  @Test(
    "a derivative inside a loss has its own derivative, by what it captures and by its point",
    arguments: derivatives.keys.sorted())
  func nested(_ name: String) throws {
    let slope = try #require(Self.derivatives[name])
    let w = Tensor([2.0, -0.5, 1.5])
    // Σ (w cos x)³ by w and by x
    let (value, found) = valueAndGradients(at: [w, x]) { slope($0[0], $0[1]).pow(3).sum() }
    expectClose(value, (w * x.cos()).pow(3).sum(), within: 1e-14)
    expectClose(found[0], 3 * w.squared() * x.cos().pow(3), within: 1e-14)
    expectClose(found[1], -3 * w.pow(3) * x.cos().squared() * x.sin(), within: 1e-14)
  }

  @Test("three derivatives deep")
  func deep() {
    func f(_ x: Tensor) -> Tensor { x.pow(5).sum() }
    let third = gradient(at: x) { y in
      gradient(at: y) { z in gradient(at: z, of: f).sum() }.sum()
    }
    expectClose(third, 60 * x.squared(), within: 1e-14)
    let forward = gradient(at: x) { y in jvp(at: y, along: v) { gradient(at: $0, of: f) }.derivative.sum() }
    expectClose(forward, 60 * x.squared() * v, within: 1e-14)
  }

  @Test("what runs without gradient is a constant, whatever derivative is taken inside")
  func constants() {
    for (name, slope) in Self.derivatives {
      let w = Tensor([2.0, -0.5, 1.5])
      let found = gradient(at: w) { u in (u * withoutGradient { slope(u, x) }).sum() }
      expectClose(found, w * x.cos(), within: 1e-14, "\(name)")
    }
    expectClose(withoutGradient { gradient(at: x) { ($0 * $0).sum() } }, 2 * x, within: 0)
    // Recording goes on after it, in both modes.
    expectClose(
      gradient(at: x) { y in
        withoutGradient { _ = gradient(at: y) { $0.sum() } }; return y.squared().sum()
      },
      2 * x, within: 0)
    let forward = jvp(at: x, along: v) { y in
      _ = withoutGradient { y * y }
      return gradient(at: y) { $0.pow(3).sum() }
    }
    expectClose(forward.derivative, 6 * x * v, within: 1e-15)
  }

  @Test("recording stays off after a gradient inside, and forward mode on after a part without")
  func nestedRecording() {
    let slope = gradient(at: x) { y in
      (y
        * withoutGradient {
          _ = gradient(at: y) { $0.sum() }
          return y * 1
        }).sum()
    }
    expectClose(slope, x, within: 0)
    let forward = withoutGradient {
      jvp(at: x, along: v) { y in
        _ = withoutGradient { y * y }
        return y * y
      }
    }
    expectClose(forward.derivative, 2 * x * v, within: 0)
  }

  @Test("a point that is an argument twice, and one that is not used")
  func arguments() {
    let (_, found) = valueAndGradients(at: [x, x, v]) { ($0[0] * $0[1].sin()).sum() }
    expectClose(found[0], x.sin(), within: 0)
    expectClose(found[1], x * x.cos(), within: 0)
    expectClose(found[2], .zeros(like: v), within: 0)
    expectClose(gradient(at: Tensor(scalar: 2)) { $0 }, Tensor(scalar: 1), within: 0)
  }

  @Test("what leaves a function by a variable is a constant afterwards")
  func escape() {
    var kept = x
    var value = [valueAndGradient(at: x) { ($0 * $0).sum() }.value]
    let valueIsUnique = value.areUnique
    #expect(valueIsUnique, "a value has nothing to do with the tape")
    _ = gradient(at: x) { y in
      kept = y * y
      return kept.sum()
    }
    expectClose(kept, x * x, within: 0)
    var (product, alone) = ([kept * 1], [kept * 1])
    let productIsUnique = product.areUnique
    #expect(productIsUnique, "nothing is recorded any more")
    _ = gradient(at: x) { y in
      alone = [y * y]
      return alone[0].sum()
    }
    let aloneIsUnique = alone.areUnique
    #expect(!aloneIsUnique, "the tape may still look at it")
    expectClose(gradient(at: x) { ($0 * kept).sum() }, x * x, within: 0)
    expectClose(jvp(at: x, along: v) { $0 * kept }.derivative, x * x * v, within: 0)
    expectClose(vmap(over: x) { $0 * kept.sum() }, x * (x * x).sum(), within: 1e-15)
  }
}
