import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// How networks are asked.
@Suite struct PreconditioningTests {
  static func kernel(_ alpha: Double, _ sigma: Double) -> PerturbationKernel {
    PerturbationKernel(time: 0.5, alpha: alpha, sigma: sigma, alphaRate: -1, sigmaRate: 1)
  }

  /// Kernels all over a schedule's range.
  static func kernels(_ schedule: any NoiseSchedule) -> [PerturbationKernel] {
    let range = schedule.timeRange
    return [0.001, 0.05, 0.31, 0.5, 0.77, 0.999].map {
      schedule.kernel(at: range.lowerBound + $0 * (range.upperBound - range.lowerBound))
    }
  }

  @Test(
    "Spec: BD.6 c_in, c_skip and c_out of an EDM, at σ_d = ½",
    arguments: [
      (1, 0.5, 1.414213562, 0.5, 0.353553391), (1, 10, 0.099875233, 0.002493766, 0.499376169),
      (0.6, 0.8, 1.170411472, 0.205479452, 0.468164589),
    ])
  func goldens(_ alpha: Double, _ sigma: Double, _ input: Double, _ skip: Double, _ out: Double) throws {
    let kernel = Self.kernel(alpha, sigma)
    let preconditioning = Preconditioning.edm(sigmaData: 0.5)
    let conversion = try #require(preconditioning.head.conversion(to: .data, at: kernel))
    #expect(abs(preconditioning.input(at: kernel) - input) < 1e-9)
    #expect(abs(conversion.point - skip) < 1e-9 && abs(conversion.output - out) < 1e-9)
    #expect(abs(preconditioning.noise(at: kernel) - log(sigma / alpha)) < 1e-14)
  }

  @Test(
    "Spec: BD.6 what goes in and what is to come out have unit variance, and the determinant is −R/σ_d",
    arguments: NamedSchedule.all)
  func variances(_ named: NamedSchedule) {
    for deviation in [0.5, 1.7] {
      let preconditioning = Preconditioning.edm(sigmaData: deviation)
      for kernel in Self.kernels(named.schedule) {
        let (signal, noise) = (kernel.alpha * deviation, kernel.sigma)
        let total = signal * signal + noise * noise
        let input = preconditioning.input(at: kernel)
        #expect(abs(input * input * total - 1) <= 1e-12)
        let target = preconditioning.head.target(kernel)
        #expect(target.scale == 1)
        #expect(abs(pow(target.data * deviation, 2) + target.noise * target.noise - 1) <= 1e-12)
        let determinant = kernel.alpha * target.noise - kernel.sigma * target.data
        #expect(abs(determinant / (-total.squareRoot() / deviation) - 1) <= 1e-12)
        // The same head by its definition: A = (1 − c_skip α)/c_out, B = −c_skip σ/c_out.
        let (skip, out) = (kernel.alpha * deviation * deviation / total, noise * deviation / total.squareRoot())
        #expect(abs(target.noise + skip * noise / out) <= 1e-12)
        #expect(abs((target.data - (1 - skip * kernel.alpha) / out) / max(1, 1 / out)) <= 1e-12)
        #expect(abs(determinant * out / noise + 1) <= 1e-12)
      }
    }
  }

  @Test("Spec: BD.6 c_skip is where c_out² is least", arguments: [(1, 0.5), (1, 10), (0.6, 0.8), (0.1, 0.05)])
  func least(_ alpha: Double, _ sigma: Double) throws {
    let deviation = 0.5
    func variance(_ skip: Double) -> Double {
      pow(1 - skip * alpha, 2) * deviation * deviation + skip * skip * sigma * sigma
    }
    // Golden-section search.
    let ratio = (5.0.squareRoot() - 1) / 2
    var (low, high) = (-20.0, 20.0)
    while high - low > 1e-9 {
      let (a, b) = (high - ratio * (high - low), low + ratio * (high - low))
      if variance(a) < variance(b) { high = b } else { low = a }
    }
    let conversion = try #require(
      Head.edm(sigmaData: deviation).conversion(to: .data, at: Self.kernel(alpha, sigma)))
    #expect(abs(conversion.point - low) <= 1e-6)
    #expect(abs(conversion.output * conversion.output - variance(conversion.point)) <= 1e-13)
  }

  @Test("Spec: BD.6 without noise the point is the answer, and without signal the network is")
  func limits() throws {
    let head = Head.edm(sigmaData: 0.5)
    #expect(head.conversion(to: .data, at: Self.kernel(1, 0)) == .init(point: 1, output: 0))
    let noise = try #require(head.conversion(to: .data, at: Self.kernel(0, 1)))
    #expect(noise.point == 0 && abs(noise.output - 0.5) < 1e-15)
  }

  @Test("a network is asked the same on every schedule, of the same noise-to-signal ratio")
  func schedules() {
    let preconditioning = Preconditioning.edm(sigmaData: 0.7)
    let reference = EDMSchedule().kernel(at: 0.6)
    for named in NamedSchedule.all {
      let kernel = named.schedule.kernel(at: named.schedule.time(atNoiseToSignal: 0.6))
      #expect(abs(preconditioning.noise(at: kernel) - log(0.6)) < 1e-9)
      let scaled = preconditioning.input(at: kernel) * kernel.alpha
      #expect(abs(scaled / preconditioning.input(at: reference) - 1) < 1e-9)
    }
  }

  @Test("a denoiser scales what its network is given, and its answer comes back in the type of the points")
  func denoiser() {
    let schedule = VariancePreserving()
    let kernel = schedule.kernel(at: 0.4)
    let preconditioning = Preconditioning.edm(sigmaData: 0.7)
    let network = FunctionNetwork(dimension: 2) { x, noise in
      (x.sin() + noise.expanded(at: 1), .zeros([x.batch]))
    }
    let model = NetworkDenoiser(network, preconditioning, on: schedule)
    let x = SplitMix(seed: 1).unit([3, 2])
    let total = 0.49 * kernel.alpha * kernel.alpha + kernel.sigma * kernel.sigma
    let output = (x / total.squareRoot()).sin() + log(kernel.sigma / kernel.alpha)
    let expected = 0.49 * kernel.alpha / total * x + 0.7 * kernel.sigma / total.squareRoot() * output
    expectClose(model.denoise(x, at: 0.4), expected, within: 1e-13)
    let single = model.denoise(x.to(.float32), at: 0.4)
    #expect(single.elementType == .float32)
    expectClose(single, expected, within: 1e-6)
  }

  @Test("a network of a narrow type is told its noise in single precision")
  func narrow() {
    let kernel = VariancePreserving().kernel(at: 0.4)
    let question = Preconditioning.edm(sigmaData: 1).question(
      .ones([2, 3]), at: kernel, condition: nil, type: .bfloat16)
    #expect(question.x.elementType == .bfloat16 && question.noise.elementType == .float32)
    #expect(abs(question.noise[0].item - log(kernel.noiseToSignal)) < 1e-6)
  }

  @Test("a condition is for all points or for each")
  func conditions() {
    let kernel = VariancePreserving().kernel(at: 0.4)
    let preconditioning = Preconditioning(.noise, sigmaData: 1)
    for rows in [1, 3] {
      let condition = Tensor.arange(0..<(2 * rows)).reshaped([rows, 2]).to(.float64)
      let question = preconditioning.question(.ones([3, 2]), at: kernel, condition: condition, type: .float32)
      #expect(question.condition?.shape == [3, 2] && question.condition?.elementType == .float32)
      #expect(question.condition![2].doubles == (rows == 1 ? [0, 1] : [4, 5]))
    }
  }

  @Test("Spec: BD.7 of a single point the flow is a straight ray, exact in one Euler step")
  func ray() {
    let point = Tensor(rows: [[1, -1]])
    let field = EmpiricalDenoiser(data: point, on: .edm)
    let start = 20 * SplitMix(seed: 1).unit([4, 2]) + point
    for end in [10, 1, 0.002] {
      let found = integrate(start, along: TimeGrid([20, end]), with: RungeKutta.euler, in: ProbabilityFlow(field))
      expectClose(found, point + (end / 20) * (start - point), within: 1e-12)
    }
  }

  @Test("Spec: BD.7 the flow of EDM is (x − x̂₀)/t, and its first step to the end is the denoiser's answer")
  func slope() throws {
    let field = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: .edm)
    let x = 3 * SplitMix(seed: 1).unit([4, 2])
    for t in [0.3, 2, 20.0] {
      let velocity = ProbabilityFlow(field).velocity(x, at: t)
      expectClose(velocity, (x - field.denoise(x, at: t)) / t, within: 1e-12)
      expectClose(x - t * velocity, field.denoise(x, at: t), within: 1e-12)
    }
  }

  @Test("a standard deviation that is none stops the process")
  func mistake() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = Preconditioning(.noise, sigmaData: 0)
    }
    let words = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(words.contains("Preconditioning(sigmaData: 0.0): the data's standard deviation must be larger than 0"))
  }
}
