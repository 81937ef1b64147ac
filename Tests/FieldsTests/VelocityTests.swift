import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct VelocityTests {
  /// A few times of a schedule, and points of them.
  private func forEachTime(
    of schedule: any NoiseSchedule, _ body: (PerturbationKernel, Tensor) throws -> Void
  ) rethrows {
    let range = schedule.timeRange
    for fraction in [0.002, 0.2, 0.6, 0.97] {
      let kernel = schedule.kernel(at: range.lowerBound + fraction * (range.upperBound - range.lowerBound))
      try body(kernel, kernel.alpha * Fixture.points + kernel.sigma * SplitMix(seed: 9).unit([5, 2]))
    }
  }

  @Test("Spec: B4.8 the flow is f x − ½ g² score, and the reverse drift f x − g² score", arguments: NamedSchedule.all)
  func drifts(_ named: NamedSchedule) throws {
    let field = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: named.schedule)
    forEachTime(of: named.schedule) { kernel, x in
      let (drift, noise) = (kernel.drift, kernel.diffusionSquared)
      let score = field.posterior(x, at: kernel.time).score
      let flow = ProbabilityFlow(field).velocity(x, at: kernel.time)
      let reverse = ReverseDrift(field)
      expectClose(flow, drift * x - 0.5 * noise * score, within: 1e-10, "\(named) at \(kernel.time)")
      expectClose(reverse.velocity(x, at: kernel.time), drift * x - noise * score, within: 1e-10)
      #expect(reverse.diffusion(at: kernel.time) == noise.squareRoot())
    }
  }

  @Test("Spec: B4.7 the reverse drift is the flow and half a step of Langevin", arguments: NamedSchedule.all)
  func langevin(_ named: NamedSchedule) throws {
    let field = GaussianMixtureDenoiser(try Fixture.gauss3D(), on: named.schedule)
    let t = 0.4 * named.schedule.timeRange.upperBound
    let kernel = named.schedule.kernel(at: t)
    let x = SplitMix(seed: 2).unit([4, 3])
    let expected = ProbabilityFlow(field).velocity(x, at: t) - 0.5 * kernel.diffusionSquared * field.score(x, at: t)
    expectClose(ReverseDrift(field).velocity(x, at: t), expected, within: 1e-12)
  }

  @Test("Spec: B4.8 a Gaussian's flow keeps its standardised place", arguments: NamedSchedule.all)
  func gaussian(_ named: NamedSchedule) throws {
    // x_t = α m + (s_t/s_u)(x_u − α_u m), s² = α² s₀² + σ²: its slope is the velocity.
    let field = GaussianMixtureDenoiser(try Fixture.gauss1D(), on: named.schedule)
    forEachTime(of: named.schedule) { kernel, points in
      let x = points[Axis.all, ..<1]
      let variance = kernel.alpha * kernel.alpha * 1.69 + kernel.sigma * kernel.sigma
      let rate = (kernel.alpha * kernel.alphaRate * 1.69 + kernel.sigma * kernel.sigmaRate) / variance
      let expected = kernel.alphaRate * 0.7 + rate * (x - kernel.alpha * 0.7)
      expectClose(ProbabilityFlow(field).velocity(x, at: kernel.time), expected, within: 1e-10, "\(named)")
    }
  }

  @Test("Spec: B4.9 the flow carries the density, and the wrong half does not", arguments: NamedSchedule.all)
  func continuity(_ named: NamedSchedule) throws {
    // ∂ₜ log p + v·∂ₓ log p + ∂ₓ v = 0 on a line.
    let field = GaussianMixtureDenoiser(try Fixture.mixture1D(), on: named.schedule)
    let (flow, range) = (ProbabilityFlow(field), named.schedule.timeRange)
    let t = range.lowerBound + 0.31 * (range.upperBound - range.lowerBound)
    let kernel = named.schedule.kernel(at: t)
    let x = Tensor.linspace(from: -4, to: 4, count: 33).expanded(at: 1) * (kernel.alpha + kernel.sigma)
    let (h, k) = (1e-4 * Swift.min(t, 1), 1e-4 * kernel.sigma)
    let after = field.posterior(x, at: t + h).logDensity
    let timeSlope = (after - field.posterior(x, at: t - h).logDensity) / (2 * h)
    func residual(_ velocity: (Tensor) -> Tensor) -> Tensor {
      let divergence = ((velocity(x + k) - velocity(x - k)) / (2 * k)).squeezed(-1)
      return timeSlope + (velocity(x) * field.posterior(x, at: t).score).squeezed(-1) + divergence
    }
    let scale = timeSlope.abs().max().item
    #expect(residual { flow.velocity($0, at: t) }.abs().max().item < 5e-6 * scale)
    #expect(residual { ReverseDrift(field).velocity($0, at: t) }.abs().max().item > 0.1 * scale)
  }

  @Test("Spec: T0.2 in flow time velocities change their sign, and densities do not", arguments: NamedSchedule.all)
  func flowTime(_ named: NamedSchedule) throws {
    let field = GaussianMixtureDenoiser(try Fixture.mixture2D(), on: named.schedule)
    let convention = FlowConvention(named.schedule)
    let flow = FlowVelocity(ProbabilityFlow(field), in: convention)
    let t = 0.25 * named.schedule.timeRange.upperBound.rounded(.up)
    let tau = convention.reversed(t)
    let x = SplitMix(seed: 1).unit([4, 2])
    #expect(flow.velocity(x, at: tau).isIdentical(to: -ProbabilityFlow(field).velocity(x, at: t)))
    // In terms of the ends: ȧ source + ḃ target.
    let (source, target) = (field.noise(x, at: t), field.denoise(x, at: t))
    let expected = convention.sourceRate(tau) * source + convention.targetRate(tau) * target
    expectClose(flow.velocity(x, at: tau), expected, within: 1e-14)
  }
}
