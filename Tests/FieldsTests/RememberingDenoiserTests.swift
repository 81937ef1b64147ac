import Scorefield
import ScorefieldTestSupport
import Testing

/// Answers that are not asked for twice.
@Suite struct RememberingDenoiserTests {
  @Test("equal points at equal times are answered once, derivatives are taken anew, and the oldest goes first")
  func remembers() {
    let counter = EvaluationCounter()
    let field = EmpiricalDenoiser(data: SplitMix(seed: 1).unit([30, 3]), on: .edm)
    let model = RememberingDenoiser(CountedDenoiser(field, counter: counter), capacity: 2)
    let x = SplitMix(seed: 2).unit([4, 3])
    let first = model.denoise(x, at: 0.5)
    #expect(first.isIdentical(to: field.denoise(x, at: 0.5)) && model.denoise(x + 0, at: 0.5).isIdentical(to: first))
    #expect(counter.count == 1)
    // Other points, other times, other shapes.
    _ = model.denoise(x + 1e-9, at: 0.5)
    _ = model.denoise(x, at: 0.6)
    #expect(counter.count == 3)
    _ = model.denoise(x, at: 0.5)
    #expect(counter.count == 4)
    _ = model.denoise(x[..<2], at: 0.5)
    #expect(counter.count == 5)
    expectClose(
      gradient(at: x) { model.denoise($0, at: 0.5).sum() }, gradient(at: x) { field.denoise($0, at: 0.5).sum() },
      within: 1e-14)
    #expect(counter.count == 6)
    model.forget()
    _ = model.denoise(x[..<2], at: 0.5)
    #expect(counter.count == 7)
  }

  @Test("forward differences cost one evaluation where the sampler has asked")
  func differences() {
    let counter = EvaluationCounter()
    let field = EmpiricalDenoiser(data: SplitMix(seed: 1).unit([30, 3]), on: .edm)
    let model = RememberingDenoiser(CountedDenoiser(field, counter: counter))
    let (x, v) = (SplitMix(seed: 2).unit([4, 3]), SplitMix(seed: 3).unit([4, 3]))
    _ = model.denoise(x, at: 0.7)
    let product = FiniteDifferenceFisher(model).fisher(at: x, time: 0.7).matvec(v)
    #expect(counter.count == 2)
    expectClose(product, FiniteDifferenceFisher(field).fisher(at: x, time: 0.7).matvec(v), within: 1e-14)
  }
}
