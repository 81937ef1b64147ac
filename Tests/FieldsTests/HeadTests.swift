import Scorefield
import ScorefieldTestSupport
import Testing

/// The head law: what is predicted and the point tell everything else.
@Suite struct HeadTests {
  struct NamedHead: Sendable, CustomStringConvertible {
    let description: String
    let head: Head
    /// What the head is by its definition: of kernel, data and noise.
    let definition: @Sendable (PerturbationKernel, Double, Double) -> Double
  }

  static let heads: [NamedHead] = [
    .init(description: "data", head: .data) { _, data, _ in data },
    .init(description: "noise", head: .noise) { _, _, noise in noise },
    .init(description: "score", head: .score) { kernel, _, noise in -noise / kernel.sigma },
    .init(description: "v", head: .v) { kernel, data, noise in kernel.alpha * noise - kernel.sigma * data },
    .init(description: "velocity", head: .velocity) { kernel, data, noise in
      kernel.alphaRate * data + kernel.sigmaRate * noise
    },
    .init(description: "edm", head: .edm(sigmaData: 0.5)) { kernel, data, noise in
      let (x, total) = (
        kernel.alpha * data + kernel.sigma * noise, kernel.alpha * kernel.alpha / 4 + kernel.sigma * kernel.sigma
      )
      let (skip, out) = (kernel.alpha / 4 / total, kernel.sigma * 0.5 / total.squareRoot())
      return (data - skip * x) / out
    },
  ]

  @Test("Spec: B0.5 every head is converted to every other", arguments: NamedSchedule.all)
  func conversions(_ named: NamedSchedule) throws {
    let range = named.schedule.timeRange
    for fraction in [0.003, 0.31, 0.77, 0.99] {
      let kernel = named.schedule.kernel(at: range.lowerBound + fraction * (range.upperBound - range.lowerBound))
      let (data, noise) = (0.7, -1.3)
      let x = kernel.alpha * data + kernel.sigma * noise
      for from in Self.heads {
        for to in Self.heads {
          let conversion = try #require(from.head.conversion(to: to.head, at: kernel))
          let given = from.definition(kernel, data, noise)
          let (found, expected) = (conversion.point * x + conversion.output * given, to.definition(kernel, data, noise))
          // The terms may be larger than what is left of them.
          let size = abs(conversion.point * x) + abs(conversion.output * given)
          #expect(abs(found - expected) <= 1e-12 * size, "\(from) to \(to), \(named) at \(kernel.time)")
          // Errors at a fixed point go the way back by the inverse.
          let back = try #require(to.head.conversion(to: from.head, at: kernel))
          #expect(abs(back.output * conversion.output - 1) < 1e-10)
          let weight = try #require(from.head.lossWeight(matching: to.head, at: kernel))
          #expect(weight == conversion.output * conversion.output)
        }
        let conversion = try #require(from.head.conversion(to: from.head, at: kernel))
        #expect(conversion == Head.Conversion(point: 0, output: 1), "\(from) to itself")
      }
    }
  }

  @Test("Spec: B0.5 a head tells what it can where the path ends, and nothing it cannot")
  func domain() {
    let data = PerturbationKernel(time: 0, alpha: 1, sigma: 0, alphaRate: -1, sigmaRate: 1)
    let noise = PerturbationKernel(time: 1, alpha: 0, sigma: 1, alphaRate: -1, sigmaRate: 1)
    func output(_ from: Head, _ to: Head, _ kernel: PerturbationKernel) -> Head.Conversion? {
      from.conversion(to: to, at: kernel)
    }
    // Without noise the point is the data, which does not tell the noise.
    #expect(output(.data, .data, data) == .init(point: 0, output: 1))
    #expect(output(.data, .noise, data) == nil && output(.data, .velocity, data) == nil)
    #expect(output(.data, .score, data) == nil && output(.noise, .score, data) == nil)
    #expect(output(.score, .score, data) == .init(point: 0, output: 1))
    #expect(output(.score, .noise, data) == .init(point: 0, output: 0))
    #expect(output(.noise, .data, data) == .init(point: 1, output: 0))
    #expect(output(.score, .data, data) == .init(point: 1, output: 0))
    #expect(output(.velocity, .data, data) == .init(point: 1, output: 0))
    #expect(output(.velocity, .noise, data) == .init(point: 1, output: 1))
    #expect(output(.v, .noise, data) == .init(point: 0, output: 1))
    #expect(output(.edm(sigmaData: 2), .data, data) == .init(point: 1, output: 0))
    // Without signal the point is the noise, which does not tell the data.
    #expect(output(.noise, .noise, noise) == .init(point: 0, output: 1))
    #expect(output(.noise, .data, noise) == nil && output(.score, .data, noise) == nil)
    #expect(output(.noise, .velocity, noise) == nil)
    #expect(output(.data, .noise, noise) == .init(point: 1, output: 0))
    #expect(output(.data, .velocity, noise) == .init(point: 1, output: -1))
    #expect(output(.velocity, .data, noise) == .init(point: 1, output: -1))
    #expect(output(.v, .data, noise) == .init(point: 0, output: -1))
    #expect(output(.edm(sigmaData: 2), .data, noise) == .init(point: 0, output: 2))
  }

  @Test("Spec: B0.5 a network of any head is the same denoiser", arguments: NamedSchedule.all)
  func denoisers(_ named: NamedSchedule) throws {
    let exact = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: named.schedule)
    let range = named.schedule.timeRange
    for fraction in [0.01, 0.4, 0.95] {
      let t = range.lowerBound + fraction * (range.upperBound - range.lowerBound)
      let kernel = named.schedule.kernel(at: t)
      let x = kernel.alpha * Fixture.points + kernel.sigma * SplitMix(seed: 5).unit([5, 2])
      let (mean, score) = (exact.denoise(x, at: t), exact.score(x, at: t))
      for named in Self.heads {
        let denoiser = PredictionDenoiser(named.head, on: exact.schedule) { x, kernel in
          exact.prediction(named.head, x, at: kernel.time)
        }
        // Data follow from noise with the error σ/α makes of it.
        expectClose(denoiser.denoise(x, at: t), mean, within: 1e-13 * (1 + 10 * kernel.noiseToSignal), "\(named)")
        expectClose(denoiser.noise(x, at: t), exact.noise(x, at: t), within: 1e-9, "\(named)")
        expectClose(denoiser.score(x, at: t), score, within: 1e-9, "\(named)")
      }
      expectClose(exact.prediction(.score, x, at: t), exact.posterior(x, at: t).score, within: 1e-9)
      expectClose(exact.prediction(.velocity, x, at: t), ProbabilityFlow(exact).velocity(x, at: t), within: 1e-12)
    }
  }

  @Test("the network of an EDM has outputs of unit variance, and its data is skip and output")
  func edm() throws {
    let kernel = PerturbationKernel(time: 0.3, alpha: 1, sigma: 0.3, alphaRate: 0, sigmaRate: 1)
    let conversion = try #require(Head.edm(sigmaData: 0.5).conversion(to: .data, at: kernel))
    #expect(abs(conversion.point - 0.25 / 0.34) < 1e-15)
    #expect(abs(conversion.output - 0.15 / 0.34.squareRoot()) < 1e-15)
    let target = Head.edm(sigmaData: 0.5).target(kernel)
    #expect(abs(target.data * target.data * 0.25 + target.noise * target.noise - 1) < 1e-15)
  }

  @Test("what has no answer stops the process and says why")
  func refusals() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = Head.edm(sigmaData: 0)
    }
    let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(message.contains("Head.edm(sigmaData: 0.0): the data's standard deviation must be larger than 0"))
  }
}
