import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct SampleTests {
  let schedule = VariancePreserving()
  var grid: TimeGrid { .uniformHalfLogSNR(12, over: schedule, from: 1, to: 1e-3) }

  @Test("evaluations are counted: the steps' stages, and the last denoising")
  func evaluations() throws {
    let model = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: schedule)
    let start = SplitMix(seed: 1).unit([3, 2])
    for keeping in [false, true] {
      #expect(sample(model, from: start, along: grid, with: .ddim, keepingPath: keeping).evaluations == 13)
      #expect(
        sample(model, from: start, along: grid, with: .ddim, finalDenoise: false, keepingPath: keeping).evaluations
          == 12)
      #expect(sample(model, from: start, along: grid, with: .heun, keepingPath: keeping).evaluations == 25)
      #expect(sample(model, from: start, along: grid, with: .dormandPrince, keepingPath: keeping).evaluations == 74)
    }
  }

  @Test("the path holds the states of the solver and what the model made of each")
  func path() throws {
    let model = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: schedule)
    let start = SplitMix(seed: 1).unit([3, 2])
    let run = sample(model, from: start, along: grid, with: .heun, keepingPath: true)
    let path = try #require(run.path)
    #expect(path.times == grid.times && path.states.shape == [13, 3, 2] && path.denoised.shape == [12, 3, 2])
    #expect(path.states[0].isIdentical(to: start))
    for step in 0..<12 {
      expectClose(path.denoised[step], model.denoise(path.states[step], at: path.times[step]), within: 1e-14)
    }
    let end = integrate(start, along: grid, with: .heun, in: ProbabilityFlow(model))
    expectClose(path.states[12], end, within: 1e-14)
    expectClose(run.samples, model.denoise(end, at: 1e-3), within: 1e-14)
    let raw = sample(model, from: start, along: grid, with: .heun, finalDenoise: false)
    #expect(raw.path == nil && raw.samples.isIdentical(to: end))
  }

  @Test(
    "noise to start from has the prior's deviation",
    arguments: [
      ("vp", 1.0, 0.9999784), ("edm", 80.0, 80.0), ("edm", 20.0, 20.0), ("ve", 1.0, 1.0), ("flow", 0.75, 0.75),
      ("ve-geometric", 1.0, 49.999999),
    ])
  func start(_ name: String, _ t: Double, _ deviation: Double) {
    var generator = Generator(seed: 7)
    let noise = startingNoise([20_000, 2], at: t, on: NamedSchedule.named(name), using: &generator)
    // The standard error of a standard deviation of n draws is its 1/√2n.
    #expect(abs(noise.standardDeviation().item / deviation - 1) < 4 / 80_000.0.squareRoot())
    #expect(abs(noise.mean().item) < 4 * deviation / 200)
    var again = Generator(seed: 7)
    let unit = Tensor.normal([20_000, 2], using: &again)
    expectClose(noise, deviation * unit, within: 1e-6)
  }

  @Test("samples have the mean and the variance of the data", arguments: ["vp", "edm", "flow"])
  func moments(_ name: String) throws {
    let schedule = NamedSchedule.named(name)
    let (count, to) = (20_000, schedule.time(atNoiseToSignal: 0.01))
    let from = name == "edm" ? 80 : schedule.timeRange.upperBound
    let model = GaussianMixtureDenoiser(try Fixture.gauss1D(), on: schedule)
    var generator = Generator(seed: 11)
    let start = startingNoise([count, 1], at: from, on: schedule, using: &generator)
    let grid = TimeGrid.uniformHalfLogSNR(60, over: schedule, from: from, to: to)
    let run = sample(model, from: start, along: grid, with: .heun)
    let n = Double(count)
    // Heun's own error at 60 steps is far below these.
    #expect(abs(run.samples.mean().item - 0.7) < 4 * 1.3 / n.squareRoot() + 0.01)
    #expect(abs(run.samples.variance().item - 1.69) < 4 * 1.69 * (2 / n).squareRoot() + 0.01)
    #expect(run.outcome == .converged)
  }

  @Test("what does not settle is an outcome of the run")
  func outcome() throws {
    let model = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: schedule)
    let start = SplitMix(seed: 1).unit([3, 2])
    let limited = Adaptive(.dormandPrince, StepController(rtol: 1e-12, atol: 1e-12, stepLimit: 3))
    #expect(sample(model, from: start, along: grid, with: limited).outcome == .stepLimit)
    #expect(sample(model, from: start * .nan, along: grid, with: .ddim).outcome == .notFinite)
    #expect(sample(model, from: start, along: grid, with: Adaptive(.dormandPrince)).outcome == .converged)
  }

  @Test("a counter counts from many threads at once")
  func counter() async {
    let model = CountedDenoiser(EmpiricalDenoiser(data: Tensor(rows: [[1]]), on: .edm))
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<50 { group.addTask { for _ in 0..<4 { _ = model.denoise(Tensor(rows: [[0.5]]), at: 1) } } }
    }
    #expect(model.counter.count == 200)
  }
}
