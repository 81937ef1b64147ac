import Scorefield
import ScorefieldTestSupport
import Testing

/// One draw in place of the posterior.
@Suite struct EndpointFisherTests {
  private let data = SplitMix(seed: 51).symmetric([20, 3]) + 0.4
  private let ratios = [0.05, 0.2, 0.5, 1, 3, 10]

  /// Queries whose endpoints are draws from their posterior, many of each.
  private func draws(_ field: EmpiricalDenoiser, at t: Double, _ count: Int) -> (x: Tensor, endpoint: Tensor) {
    let query = data[0..<1] + t * SplitMix(seed: 52).unit([1, 3])
    let logits = (query - data).squared().sum(-1) * (-0.5 / (t * t))
    let cumulative = logits.softmax(0).cumulativeSum(0)
    var generator = Generator(seed: 3)
    let chosen = (Tensor.uniform([count, 1], using: &generator) .> cumulative.expanded(at: 0)).to(.int64).sum(-1)
      .clamped(0, 19)
    return (query.broadcast(to: [count, 3]), data.selecting(chosen.to(.int64)))
  }

  @Test("Spec: F5 over draws of the posterior both forms are right on average, and the centred one varies less")
  func unbiased() {
    let field = EmpiricalDenoiser(data: data, on: .edm)
    for t in [0.3, 1.0] {
      let (x, endpoint) = draws(field, at: t, 20_000)
      let v = Tensor([0.3, -1, 0.5]).expanded(at: 0).broadcast(to: x.shape)
      let exact = ExactFisher(field).fisher(at: x[0..<1], time: t).matvec(v[0..<1])
      let errors = [EndpointFisher.Form.printed, .centred].map { form in
        let found = EndpointFisher(field, endpoint: endpoint, form: form).fisher(at: x, time: t).matvec(v)
        let deviation = found.standardDeviation(0)
        #expect(((found.mean(0) - exact[0]).abs() .<= 4 * deviation / 20_000.0.squareRoot()).all(), "\(t) \(form)")
        return deviation.norm(-1).item
      }
      #expect(errors[1] < errors[0])
    }
  }

  @Test(
    "Spec: F5 proposition 8 bounds the printed form's error, which is not small, for the data as endpoints and a denoiser that errs"
  )
  func proposition() {
    let field = EmpiricalDenoiser(data: data, on: .variancePreserving)
    let radius = data.norm(-1).max().item
    struct Off: Denoiser {
      let base: EmpiricalDenoiser
      let by: Tensor
      var schedule: any NoiseSchedule { base.schedule }
      func denoise(_ x: Tensor, at t: Double) -> Tensor { base.denoise(x, at: t) + by }
    }
    var (tightest, tightestWeighted) = (0.0, 0.0)
    for ratio in ratios {
      let t = field.schedule.time(atNoiseToSignal: ratio)
      let kernel = field.schedule.kernel(at: t)
      let x = kernel.alpha * data + kernel.sigma * SplitMix(seed: 54).unit([20, 3])
      let exact = ExactFisher(field).fisher(at: x, time: t).dense(like: x)
      for shift in [0.0, 0.1] {
        let by = Tensor([shift, 0, 0])
        for turn in 0..<20 {
          let endpoint = data.rolled(by: turn, 0)
          let found = EndpointFisher(Off(base: field, by: by), endpoint: endpoint).fisher(at: x, time: t).dense(like: x)
          let errors = (found - exact).norm(-2, -1)
          let bound = EndpointFisher.errorBound(kernel, radius: radius, meanError: shift)
          #expect((errors .<= bound).all(), "\(ratio) \(shift)")
          let weighted = EndpointFisher.errorBound(at: x, time: t, under: field, endpoint: endpoint, meanError: shift)
          // Where one point is all of the posterior it is the endpoint, and both are rounding.
          #expect((errors .<= weighted + 1e-14 * bound).all(), "\(ratio) \(shift)")
          #expect((weighted .<= bound).all(), "\(ratio) \(shift)")
          tightest = max(tightest, errors.max().item / bound)
          tightestWeighted = max(tightestWeighted, (errors / (weighted + 1e-14 * bound)).max().item)
        }
      }
    }
    #expect(tightest > 0.3 && tightestWeighted > 0.99, "\(tightest) \(tightestWeighted)")
  }

  @Test("Spec: F5 the first form of proposition 8 is what its matrices say, of weighted data in many tiles")
  func weightedBound() {
    let (count, t) = (3000, 0.7)
    let data = SplitMix(seed: 61).symmetric([count, 3])
    let weights = 0.1 + SplitMix(seed: 62).unit([count]).abs()
    let field = EmpiricalDenoiser(data: data.reshaped([count, 3, 1]), weights: weights, on: .variancePreserving)
    let kernel = field.schedule.kernel(at: t)
    let x = kernel.alpha * data[..<200] + kernel.sigma * SplitMix(seed: 63).unit([200, 3])
    let endpoint = data[300..<500]
    func outer(_ y: Tensor) -> Tensor { y.expanded(at: 2) * y.expanded(at: 1) }
    let logits =
      weights.log() - (x.expanded(at: 1) - kernel.alpha * data).squared().sum(-1) / (2 * kernel.sigma * kernel.sigma)
    let apart = (outer(data).expanded(at: 0) - outer(endpoint).expanded(at: 1)).norm(-2, -1)
    let mean = logits.softmax(1).matmul(data).norm(-1)
    let gain = kernel.alpha * kernel.alpha / (kernel.sigma * kernel.sigma * kernel.sigma * kernel.sigma)
    let expected = gain * ((logits.softmax(1) * apart).sum(-1) + 0.2 * (2 * mean + 0.2))
    let found = EndpointFisher.errorBound(
      at: x.reshaped([200, 3, 1]), time: t, under: field, endpoint: endpoint.reshaped([200, 3, 1]), meanError: 0.2)
    expectClose(found / expected, .ones(like: expected), within: 1e-12)
  }

  @Test("endpoints of another shape than the points have no bound")
  func boundWords() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let field = EmpiricalDenoiser(data: .zeros([2, 3]), on: .edm)
      _ = EndpointFisher.errorBound(at: .zeros([4, 3]), time: 1, under: field, endpoint: .zeros([5, 3]))
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(words.contains("EndpointFisher.errorBound(at: [4, 3]): the endpoints are [5, 3]"), "\(words)")
  }

  @Test("Spec: F5 with the mean itself as the endpoint both forms are the baseline")
  func baseline() {
    let field = EmpiricalDenoiser(data: data, on: .edm)
    let x = data + 0.5 * SplitMix(seed: 55).unit([20, 3])
    let v = SplitMix(seed: 56).unit([20, 3])
    for form in [EndpointFisher.Form.printed, .centred] {
      let fisher = EndpointFisher(field, endpoint: field.denoise(x, at: 0.5), form: form).fisher(at: x, time: 0.5)
      expectClose(fisher.matvec(v), 4 * v, within: 1e-13)
    }
  }

  @Test("the blend is the nearest points' where these are enough, and the normal distribution's elsewhere")
  func blend() {
    let field = EmpiricalDenoiser(data: data, on: .edm)
    let blend = BlendedFisher(data: data, nearest: 4, on: .edm)
    for (t, isExact) in [(0.03, true), (30.0, false)] {
      let x = data + t * SplitMix(seed: 57).unit([20, 3])
      let v = SplitMix(seed: 58).unit([20, 3])
      let fisher = blend.fisher(at: x, time: t)
      #expect(fisher.isExact.flags == Array(repeating: isExact, count: 20))
      let other: Tensor =
        isExact ? blend.retrieval.fisher(at: x, time: t).matvec(v) : blend.gaussian.fisher(at: x, time: t).matvec(v)
      #expect(fisher.matvec(v).isIdentical(to: other))
      expectClose(fisher.matvec(v), ExactFisher(field).fisher(at: x, time: t).matvec(v), within: 1e-2)
    }
  }
}
