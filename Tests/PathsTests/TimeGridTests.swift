import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct TimeGridTests {
  @Test("a grid goes from the noise to the data, ends exactly, and turns around", arguments: NamedSchedule.all)
  func ends(_ named: NamedSchedule) {
    let range = named.schedule.timeRange
    for grid in [
      TimeGrid.uniform(13, over: named.schedule), .uniformHalfLogSNR(13, over: named.schedule),
      .karras(13, over: named.schedule),
    ] {
      #expect(grid.steps == 13 && grid.times.count == 14)
      #expect(grid.first == range.upperBound && grid.last == range.lowerBound)
      #expect(grid.reversed.times == grid.times.reversed() && grid.reversed.reversed == grid)
      #expect(zip(grid.times, grid.times.dropFirst()).allSatisfy { $0 > $1 })
    }
    let (low, high) = (range.lowerBound + 0.1 * range.upperBound, 0.7 * range.upperBound)
    let up = TimeGrid.uniformHalfLogSNR(1, over: named.schedule, from: low, to: high)
    #expect(up.times == [low, high])
  }

  @Test("steps are equal in what the grid is uniform in", arguments: NamedSchedule.all)
  func spacing(_ named: NamedSchedule) {
    let schedule = named.schedule
    func check(_ grid: TimeGrid, _ function: (PerturbationKernel) -> Double) {
      let values = grid.times.map { function(schedule.kernel(at: $0)) }
      let step = (values[10] - values[0]) / 10
      for (a, b) in zip(values, values.dropFirst()) { #expect(abs((b - a) / step - 1) < 1e-7) }
    }
    check(.uniform(10, over: schedule)) { $0.time }
    check(.uniformHalfLogSNR(10, over: schedule)) { $0.halfLogSNR }
    check(.karras(10, over: schedule)) { .pow($0.noiseToSignal, 1.0 / 7) }
    check(.karras(10, over: schedule, rho: 3)) { .pow($0.noiseToSignal, 1.0 / 3) }
  }

  @Test("Karras' grid on his schedule is equation 5 of his paper")
  func karras() {
    let grid = TimeGrid.karras(17, over: .edm, from: 80, to: 0.002)
    for (index, time) in grid.times.enumerated() {
      let (large, small) = (Double.pow(80, 1.0 / 7), Double.pow(0.002, 1.0 / 7))
      #expect(abs(time / .pow(large + Double(index) / 17 * (small - large), 7) - 1) < 1e-12)
    }
  }

  @Test("what is no grid stops the process and says why")
  func refusals() async {
    func stops(_ expected: String, _ result: ExitTest.Result?) {
      let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
      #expect(message.contains(expected), "\(message)")
    }
    stops(
      "TimeGrid(3 times): times must all rise or all fall",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { _ = TimeGrid([0.3, 0.1, 0.2]) })
    stops(
      "needs at least two times",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { _ = TimeGrid([0.3]) })
    stops(
      "TimeGrid(0 steps): needs at least one",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        _ = TimeGrid.uniform(0, over: .edm)
      })
    stops(
      "TimeGrid(from: 2.0, to: 1e-05): outside the schedule's range 1e-05...1.0",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        _ = TimeGrid.karras(3, over: .variancePreserving, from: 2)
      })
    stops(
      "rho must be larger than 0",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        _ = TimeGrid.karras(3, over: .variancePreserving, rho: -1)
      })
    stops(
      "time(atHalfLogSNR: 40.0): outside what VariancePreserving reaches on 1e-05...1.0",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        _ = VariancePreserving().time(atHalfLogSNR: 40)
      })
    stops(
      "needs at least 2, between 0 and 1",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        _ = DiscreteSchedule(variances: [0.1, 1])
      })
    stops(
      "where log(α/σ) does not fall; no SDE has this path",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        _ = PerturbationKernel(time: 0.5, alpha: 1, sigma: 1, alphaRate: 0, sigmaRate: -1).diffusion
      })
  }
}
