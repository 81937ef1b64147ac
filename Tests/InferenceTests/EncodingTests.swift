import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct EncodingTests {
  @Test("Spec: B4.14 what was encoded is decoded, to 1e-6", arguments: NamedSchedule.all)
  func roundTrip(_ named: NamedSchedule) throws {
    let field = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: named.schedule)
    let end = named.schedule.timeRange.upperBound
    let ratio = min(20, named.schedule.kernel(at: end).noiseToSignal)
    let (from, to) = (named.schedule.time(atNoiseToSignal: 0.1), named.schedule.time(atNoiseToSignal: ratio))
    let x = Tensor(rows: [[0.1, -0.2], [-2, 0.1], [3, 2], [0, -3]])
    for solver in [LikelihoodSolver.dopri5(rtol: 1e-9, atol: 1e-9), .rungeKutta(.rk4, steps: 200)] {
      let latent = encode(x, under: field, from: from, to: to, solver: solver)
      let back = decode(latent.points, under: field, from: to, to: from, solver: solver)
      #expect(latent.outcome == .converged && back.outcome == .converged && back.evaluations > 0)
      #expect(largestError(back.points, x.doubles) < 1e-6)
    }
  }

  @Test("Spec: B4.14 latents of a Gaussian are its standardised scores", arguments: NamedSchedule.all)
  func standardised(_ named: NamedSchedule) throws {
    let schedule = named.schedule
    let field = GaussianMixtureDenoiser(try Fixture.gauss1D(), on: schedule)
    let (from, to) = (schedule.time(atNoiseToSignal: 0.1), schedule.timeRange.upperBound)
    func state(_ score: Double, _ t: Double) -> Double {
      schedule.alpha(t) * 0.7 + hypot(schedule.alpha(t) * 1.3, schedule.sigma(t)) * score
    }
    let scores = [-2.1, -0.3, 0.8, 1.9]
    let latent = encode(
      Tensor(scores.map { state($0, from) }, shape: [4, 1]), under: field, from: from, to: to,
      solver: .dopri5(rtol: 1e-10, atol: 1e-10))
    expectClose(latent.points, Tensor(scores.map { state($0, to) }, shape: [4, 1]), within: 1e-8)
  }

  @Test("the latent of a likelihood is that of the encoder, and its quantiles those of the samples")
  func latent() throws {
    let world = LineFlow.mixture(on: .variancePreserving)
    let field = try world.denoiser()
    let values = [-2.3, -1.6, 0.7, 1.1, 2.5]
    let x = Tensor(values, shape: [5, 1])
    let solver = LikelihoodSolver.dopri5(rtol: 1e-10, atol: 1e-10)
    let latent = logLikelihood(
      of: x, under: field, trace: ExactFisher(field), from: 0.01, to: 1, solver: solver
    ).latent
    #expect(largestError(latent, world.carry(values, from: 0.01, to: 1)) < 1e-8)
    #expect(largestError(encode(x, under: field, from: 0.01, to: 1, solver: solver).points, latent.doubles) < 1e-8)
  }

  @Test("the wrong way around stops the process and says which way is right")
  func direction() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let field = EmpiricalDenoiser(data: Tensor(rows: [[1]]), on: .edm)
      _ = decode(Tensor(rows: [[1]]), under: field, from: 1, to: 2)
    }
    let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(message.contains("decode(from: 1.0, to: 2.0): runs from the noise to the data"))
  }
}
