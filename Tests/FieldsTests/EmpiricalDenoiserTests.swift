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
}
