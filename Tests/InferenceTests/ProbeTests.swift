import Scorefield
import ScorefieldTestSupport
import Testing

/// What random estimates of the trace do to a likelihood.
@Suite struct ProbeTests {
  /// `zᵀ F z` for the same probes at every call, with Rademacher signs.
  struct Probed: FisherAccess {
    let field: any ExactField
    let seeds: [UInt64]

    struct At: FisherTrace {
      let samples: Tensor
      func trace() -> Tensor { samples.mean(0) }
      func traceSamples() -> Tensor { samples }
    }

    func fisher(at x: Tensor, time t: Double) -> At {
      let exact = ExactFisher(field).fisher(at: x, time: t)
      let samples = seeds.map { seed in
        var generator = Generator(seed: seed)
        let z = Tensor.rademacher(x.shape, using: &generator)
        return (z * exact.matvec(z)).sum(-1)
      }
      return At(samples: .stacked(samples))
    }
  }

  let x = Tensor(rows: [[0.1, -0.2], [-1.2, -0.7], [1.1, 0.3]])

  func found(_ seeds: [UInt64]) throws -> Likelihood {
    let field = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: .variancePreserving)
    return logLikelihood(
      of: x, under: field, trace: Probed(field: field, seeds: seeds), from: 0.02, to: 1, prior: .exact(field),
      solver: .rungeKutta(.rk4, steps: 30))
  }

  @Test("Spec: B5.6 probes kept along the flow leave the likelihood unbiased, within five standard errors of 60")
  func unbiased() throws {
    let found = try found(Array(1...60))
    let field = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: .variancePreserving)
    let error = (found.logLikelihood - field.posterior(x, at: 0.02).logDensity).abs()
    let bound = try #require(found.standardError)
    #expect((bound .> 1e-3).all() && (error .< 5 * bound).all())
  }

  @Test("two probes are the mean of two likelihoods, and their standard error half of the difference")
  func two() throws {
    let (first, second, both) = (try found([1]), try found([2]), try found([1, 2]))
    #expect(first.standardError == nil)
    expectClose(both.logLikelihood, 0.5 * (first.logLikelihood + second.logLikelihood), within: 1e-12)
    let half = 0.5 * (first.logLikelihood - second.logLikelihood).abs()
    expectClose(try #require(both.standardError), half, within: 1e-10)
  }

  @Test("a model that takes whole batches only has a likelihood by any trace")
  func wholeBatches() {
    let data = Tensor(rows: [[0, 0], [1, 0.2], [-0.3, 1], [0.8, -1]])
    let field = EmpiricalDenoiser(data: data, on: .edm).leavingOut(Tensor([0, 1, 2]))
    let found = logLikelihood(
      of: data[..<3], under: field, trace: ExactFisher(field), from: 1, to: 60, prior: .exact(field))
    expectClose(found.logLikelihood, field.posterior(data[..<3], at: 1).logDensity, within: 1e-3)
  }
}
