import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct EmpiricalDenoiserTests {
  @Test("Spec: F1 many queries are answered as each alone, where blocks of points have no weight for some")
  func batches() {
    let schedule = EDMSchedule()
    let data = SplitMix(seed: 50).symmetric([3000, 2])
    let field = EmpiricalDenoiser(data: data, on: schedule)
    let (x, v) = (data[2700...] + 0.001 * SplitMix(seed: 51).unit([300, 2]), SplitMix(seed: 52).symmetric([300, 2]))
    let found = field.posterior(x, at: 0.001, along: v)
    #expect(found.mean.isFinite().all() && found.covarianceTrace.isFinite().all())
    for query in stride(from: 0, to: 300, by: 23) {
      let row = query..<(query + 1)
      let alone = field.posterior(x[row], at: 0.001, along: v[row])
      expectClose(found.logDensity[row], alone.logDensity, within: 1e-12)
      expectClose(found.mean[row], alone.mean, within: 1e-13)
      expectClose(found.score[row], alone.score, within: 1e-10)
      expectClose(found.hessianProduct![row], alone.hessianProduct!, within: 1e-10)
    }
  }

  @Test("several questions at once have the answers of each alone, to the last bit", arguments: [2, 40])
  func questions(_ dimension: Int) {
    let data = SplitMix(seed: 90).unit([5000, dimension])
    let field = EmpiricalDenoiser(data: data, on: .edm)
    let v = SplitMix(seed: 91).unit([7, dimension])
    let asked = [0.01, 0.3, 4, 80].flatMap { t in
      let x = data[0..<7] + t * SplitMix(seed: 92).unit([7, dimension])
      return [FieldQuestion(x, at: t), FieldQuestion(x[..<3], at: t, along: v[..<3])]
    }
    for (question, answer) in zip(asked, field.posteriors(asked)) {
      let alone = field.posterior(question.x, at: question.time, along: question.direction)
      #expect(answer.mean.isIdentical(to: alone.mean) && answer.score.isIdentical(to: alone.score))
      #expect(answer.logDensity.isIdentical(to: alone.logDensity))
      #expect(answer.covarianceTrace.isIdentical(to: alone.covarianceTrace))
      #expect((answer.covarianceProduct == nil) == (question.direction == nil))
      if let product = answer.covarianceProduct { #expect(product.isIdentical(to: alone.covarianceProduct!)) }
    }
    // What is differentiated is answered as well.
    let x = data[0..<2] + 0.2
    let slope = gradient(at: x) { field.posteriors([FieldQuestion($0, at: 0.5)])[0].logDensity.sum() }
    expectClose(slope, field.posterior(x, at: 0.5).score, within: 1e-9)
  }
}
