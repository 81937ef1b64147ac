import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct DifferentiationTests {
  let x = Tensor([0.3, -1.2, 0.8])
  let v = Tensor([1.0, 0.5, -2.0])

  @Test("the gradient of a sum of cubes is three squares")
  func gradientOfCubes() {
    let (value, slope) = valueAndGradient(at: x) { ($0 * $0 * $0).sum() }
    expectClose(value, Tensor(scalar: 0.027 - 1.728 + 0.512), within: 1e-14)
    expectClose(slope, 3 * x * x, within: 1e-14)
  }

  @Test("a pullback may be asked again after its function has run")
  func pullback() {
    let (value, pullback) = vjp(at: x) { $0.sin() }
    expectClose(value, x.sin(), within: 0)
    expectClose(pullback(v), x.cos() * v, within: 1e-15)
    expectClose(pullback(2 * v), 2 * x.cos() * v, within: 1e-15)
  }

  @Test("forward mode gives the derivative along a direction")
  func forward() {
    let (value, derivative) = jvp(at: x, along: v) { $0.exp() }
    expectClose(value, x.exp(), within: 0)
    expectClose(derivative, x.exp() * v, within: 1e-15)
  }

  @Test("forward mode takes broadcast views, whose elements share memory")
  func views() {
    let (point, rate) = (x.expanded(at: 0).broadcast(to: [4, 3]), v.expanded(at: 0).broadcast(to: [4, 3]))
    expectClose(jvp(at: point, along: rate) { $0.exp() }.derivative, point.exp() * rate, within: 1e-15)
  }

  @Test("derivatives nest: reverse over reverse, forward over reverse, reverse over forward, forward over forward")
  func nesting() {
    func f(_ x: Tensor) -> Tensor { (x.sin() * x).sum() }
    // f'' = 2 cos x − x sin x
    let second = 2 * x.cos() - x * x.sin()
    expectClose(gradient(at: x) { (gradient(at: $0, of: f) * v).sum() }, second * v, within: 1e-14)
    expectClose(jvp(at: x, along: v) { gradient(at: $0, of: f) }.derivative, second * v, within: 1e-14)
    expectClose(gradient(at: x) { jvp(at: $0, along: v, of: f).derivative }, second * v, within: 1e-14)
    expectClose(
      jvp(at: x, along: v) { y in jvp(at: y, along: v) { ($0.sin() * $0) }.derivative }.derivative, second * v * v,
      within: 1e-14)
    expectClose(gradient(at: x) { y in vjp(at: y) { $0.sin() }.pullback(v).sum() }, -x.sin() * v, within: 1e-14)
  }

  @Test("vmap applies a function to each element of a batch, also under derivatives")
  func batching() {
    let batch = Tensor(rows: [[1, 2], [3, 4], [5, 6]])
    expectClose(vmap(over: batch) { ($0 * $0).sum() }, Tensor([5.0, 25, 61]), within: 0)
    expectClose(vmap(over: batch) { _ in Tensor([1.0, 2]) }, Tensor(rows: [[1, 2], [1, 2], [1, 2]]), within: 0)
    let directions = Tensor.identity(3)
    let jacobian = vmap(over: directions) { jvp(at: x, along: $0) { $0.sin() }.derivative }
    expectClose(jacobian, x.cos().diagonalMatrix, within: 1e-15)
    let (_, pullback) = vjp(at: x) { $0.cos() }
    expectClose(vmap(over: directions, pullback), (-x.sin()).diagonalMatrix, within: 1e-15)
  }

  @Test("batches of batches")
  func nestedBatches() {
    let (a, b) = (Tensor([1.0, 2]), Tensor([3.0, 4, 5]))
    expectClose(vmap(over: a) { x in vmap(over: b) { y in x * y } }, a.expanded(at: 1) * b, within: 0)
    expectClose(vmap(over: a) { x in vmap(over: b) { _ in x } }, a.expanded(at: 1).broadcast(to: [2, 3]), within: 0)
    expectClose(vmap(over: a) { _ in vmap(over: b) { y in y } }, b.broadcast(to: [2, 3]), within: 0)
    let rows = Tensor(rows: [[1, 2, 3], [4, 5, 6]])
    let slopes = vmap(over: rows) { row in gradient(at: row) { ($0 * $0 * row).sum() } }
    expectClose(slopes, 2 * rows * rows, within: 0)
    expectClose(
      gradient(at: rows) { y in vmap(over: y) { ($0 * $0).sum() }.squared().sum() },
      4 * (rows * rows).sum(1, keeping: true) * rows, within: 1e-15)
  }

  @Test("what does not depend on the input has derivative zero")
  func independent() {
    expectClose(gradient(at: x) { _ in Tensor(scalar: 1) }, .zeros(like: x), within: 0)
    expectClose(jvp(at: x, along: v) { _ in Tensor([1.0, 2]) }.derivative, Tensor([0.0, 0]), within: 0)
    expectClose(vjp(at: x) { _ in Tensor([1.0, 2]) }.pullback(Tensor([1.0, 1])), .zeros(like: x), within: 0)
  }

  @Test("what runs without gradient counts as a constant")
  func constant() {
    expectClose(gradient(at: x) { y in (y * withoutGradient { y * 1 }).sum() }, x, within: 0)
    expectClose(gradient(at: x) { ($0 * $0.detached()).sum() }, x, within: 0)
    expectClose(jvp(at: x, along: v) { y in y * withoutGradient { y * 1 } }.derivative, x * v, within: 0)
    expectClose(jvp(at: x, along: v) { $0 * $0.detached() }.derivative, x * v, within: 0)
    // Derivatives taken inside are numbers like others, and recording goes on afterwards.
    let inner = gradient(at: x) { y in (y * withoutGradient { gradient(at: y) { ($0 * $0).sum() } }).sum() + y.sum() }
    expectClose(inner, 2 * x + 1, within: 0)
    expectClose(withoutGradient { jvp(at: x, along: v) { $0 * $0 }.derivative }, 2 * x * v, within: 0)
    expectClose(jvp(at: x, along: v) { $0 * $0 }.derivative, 2 * x * v, within: 0)
  }

  @Test("an error thrown inside leaves no layer behind")
  func unwinding() {
    struct Stop: Error {}
    #expect(throws: Stop.self) { try gradient(at: x) { _ in throw Stop() } }
    #expect(throws: Stop.self) { try jvp(at: x, along: v) { _ in throw Stop() } }
    #expect(throws: Stop.self) { try vmap(over: x) { _ in throw Stop() } }
    expectClose(gradient(at: x) { $0.sum() }, Tensor([1.0, 1, 1]), within: 0)
  }
}
