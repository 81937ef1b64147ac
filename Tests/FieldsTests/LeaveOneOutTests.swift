import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct LeaveOneOutTests {
  struct World: Sendable, CustomStringConvertible {
    let description: String
    let count, dimension: Int
    let weighting: Int
    let ratio: Double
  }

  static let worlds = [0.003, 0.3, 10].flatMap { ratio in
    (0...2).flatMap { weighting in
      [(2, 1), (7, 2), (65, 3), (3000, 2)].map { count, dimension in
        World(
          description: "\(count) × \(dimension), weights \(weighting), σ/α = \(ratio)", count: count,
          dimension: dimension, weighting: weighting, ratio: ratio)
      }
    }
  }

  /// None, positive ones, or some of them 0 and one nearly everything.
  private func weights(_ world: World) -> Tensor? {
    guard world.weighting > 0 else { return nil }
    var values = SplitMix(seed: 40).uniform(world.count).map { $0 + 0.1 }
    if world.weighting == 2 {
      values[1] = 1e17
      for index in stride(from: 3, to: world.count, by: 3) { values[index] = 0 }
    }
    return Tensor(values)
  }

  @Test("a field without a point is the field of the others", arguments: worlds)
  func others(_ world: World) {
    let schedule = VariancePreserving()
    let t = schedule.time(atNoiseToSignal: world.ratio)
    let kernel = schedule.kernel(at: t)
    let data = SplitMix(seed: 41).symmetric([world.count, world.dimension])
    let weights = weights(world)
    let field = EmpiricalDenoiser(data: data, weights: weights, on: schedule)

    // Queries over more than one stream, near the points they do without; the judged ones are spread over the batch.
    let batch = 270
    let positions = Tensor((0..<batch).map { $0 * 17 % world.count })
    let (x, v) = (
      kernel.alpha * data.selecting(positions) + kernel.sigma * SplitMix(seed: 42).unit([batch, world.dimension]),
      SplitMix(seed: 43).symmetric([batch, world.dimension])
    )
    let found = field.leavingOut(positions).posterior(x, at: t, along: v)
    expectClose(field.leavingOut(positions).denoise(x, at: t), found.mean, within: 1e-12)

    for query in [0, 1, 2, 5, 255, 256, 269] {
      let position = positions.integers[query]
      let rest = Tensor((0..<world.count).filter { $0 != position })
      let alone = EmpiricalDenoiser(data: data.selecting(rest), weights: weights?.selecting(rest), on: schedule)
      let row = query..<(query + 1)
      let expected = alone.posterior(x[row], at: t, along: v[row])
      expectClose(found.logDensity[row], expected.logDensity, within: 1e-10, "\(world), query \(query)")
      expectClose(found.mean[row], expected.mean, within: 1e-10, "\(world), query \(query)")
      expectClose(found.score[row], expected.score, within: 1e-9, "\(world), query \(query)")
      expectClose(found.fisherTrace[row], expected.fisherTrace, within: 1e-9, "\(world), query \(query)")
      expectClose(found.hessianProduct![row], expected.hessianProduct!, within: 1e-9, "\(world), query \(query)")
    }
  }

  @Test("without a point that has no weight nothing is missing")
  func weightless() {
    let field = EmpiricalDenoiser(data: Fixture.points, weights: Tensor([1.0, 0, 2, 1, 3]), on: .edm)
    let x = SplitMix(seed: 44).unit([1, 2])
    let found = field.leavingOut(Tensor([1])).posterior(x, at: 0.5)
    #expect(found.logDensity.isIdentical(to: field.posterior(x, at: 0.5).logDensity))
    #expect(found.score.isIdentical(to: field.posterior(x, at: 0.5).score))
  }

  @Test("what cannot be left out stops the process and says why")
  func refusals() async {
    func stops(_ expected: String, _ result: ExitTest.Result?) {
      let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
      #expect(message.contains(expected), "\(message)")
    }
    stops(
      "leavingOut([1]): a point is the whole data set, without it nothing is left",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        _ = EmpiricalDenoiser(data: Tensor.zeros([1, 2]), on: .edm).leavingOut(Tensor([0]))
      })
    stops(
      "leavingOut([1]): a point is the whole data set, without it nothing is left",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        _ = EmpiricalDenoiser(data: Tensor.zeros([2, 2]), weights: Tensor([0.0, 1]), on: .edm).leavingOut(Tensor([1]))
      })
    stops(
      "leavingOut([2] int64): needs int64 [B], each from 0 to 4",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        _ = EmpiricalDenoiser(data: Fixture.points, on: .edm).leavingOut(Tensor([0, 5]))
      })
    stops(
      "posterior([3, 2]): 2 points are to be left out, one per query",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        let field = EmpiricalDenoiser(data: Fixture.points, on: .edm).leavingOut(Tensor([0, 1]))
        _ = field.denoise(Tensor.zeros([3, 2]), at: 1)
      })
  }
}
