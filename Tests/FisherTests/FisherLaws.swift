import Scorefield
import ScorefieldTestSupport
import Testing

/// What is true of every Fisher.
@Suite struct FisherLaws {
  @Test("Spec: F1 F2 the score is the derivative of the log density", arguments: World.all)
  func score(_ world: World) {
    let found = (world.denoiser.score(world.x, at: world.t) * world.v).sum(-1)
    let difference = centralDifference(world) { world.denoiser.posterior($0, at: world.t).logDensity }
    expectClose(difference, found, within: 1e-6)
  }

  @Test("Spec: F1 F2 the product is minus the derivative of the score", arguments: NamedFisher.exact, World.all)
  func product(_ fisher: NamedFisher, _ world: World) {
    let difference = centralDifference(world) { world.denoiser.score($0, at: world.t) }
    expectClose(fisher.at(world).matvec(world.v), -difference, within: 1e-6)
  }

  @Test(
    "Spec: F1 the products of a symmetric Fisher are symmetric to 1e-12", arguments: NamedFisher.symmetric, World.all)
  func symmetry(_ fisher: NamedFisher, _ world: World) {
    let fisher = fisher.at(world)
    let bound = 1e-12 * world.u.norm(-1) * fisher.matvec(world.v).norm(-1)
    #expect((fisher.asymmetry(world.u, world.v) .<= bound).all())
  }

  @Test("Spec: F2 both ways of differentiation and the sums over the data agree to 1e-8", arguments: World.all)
  func agreement(_ world: World) {
    let exact = ExactFisher(world.denoiser).fisher(at: world.x, time: world.t).dense(like: world.x)
    for fisher in NamedFisher.exact {
      expectClose(fisher.at(world).dense(like: world.x), exact, within: 1e-8, "\(fisher)")
    }
  }

  @Test("several products at once are the products one by one", arguments: NamedFisher.all)
  func blocks(_ fisher: NamedFisher) {
    let world = World(ratio: 0.5)
    let fisher = fisher.at(world)
    let block = Tensor.stacked([world.u, world.v, world.x])
    let single = Tensor.stacked([fisher.matvec(world.u), fisher.matvec(world.v), fisher.matvec(world.x)])
    // Differences magnify the rounding of a sum that is formed in another order.
    expectClose(fisher.matvecs(block), single, within: fisher is FiniteDifferenceFisher.At ? 1e-8 : 1e-12)
  }

  @Test("the trace is the sum over basis vectors", arguments: World.all)
  func trace(_ world: World) {
    let (x, t, schedule) = (world.x, world.t, world.denoiser.schedule)
    func check<A: FisherAccess>(_ access: A, _ what: String) where A.Operator: FisherOperator {
      let fisher = access.fisher(at: x, time: t)
      let sum = fisher.dense(like: x).trace
      expectClose(fisher.trace(), sum, within: 1e-11, "\(what)")
      #expect(fisher.traceSamples().shape == [1, x.batch] && fisher.traceEstimate().standardError == nil, "\(what)")
    }
    check(ExactFisher(world.denoiser), "exact")
    check(FullTrace(ExactFisher(world.denoiser)), "full, exact")
    check(FullTrace(VJPFisher(world.denoiser)), "full, reverse")
    check(FullTrace(JVPFisher(world.denoiser)), "full, forward")
    check(NullFisher(on: schedule), "null")
    check(GaussianFisher(data: world.data, on: schedule), "Gaussian")
    check(BlendedFisher(data: world.data, nearest: 2, on: schedule), "blended")
    check(EndpointFisher(world.denoiser, endpoint: world.u), "endpoint")
    check(EndpointFisher(world.denoiser, endpoint: world.u, form: .centred), "centred endpoint")
  }

  @Test("Spec: F1 no eigenvalue exceeds 1/σ², and some are negative")
  func eigenvalues() {
    var smallest = Double.infinity
    for world in World.all {
      let values = ExactFisher(world.denoiser).fisher(at: world.x, time: world.t).dense(like: world.x).eigh().values
      let scaled = (world.kernel.sigma * world.kernel.sigma) * values
      #expect(scaled.max().item <= 1 + 1e-12, "\(world)")
      smallest = min(smallest, scaled.min().item)
    }
    #expect(smallest < -0.1)
  }

  @Test("Spec: F1 a single point gives F = I/σ²", arguments: World.points)
  func single(_ world: World) {
    let denoiser = EmpiricalDenoiser(data: world.data[0..<1], on: world.denoiser.schedule)
    let null = NullFisher(on: world.denoiser.schedule).fisher(at: world.x, time: world.t)
    let exact = ExactFisher(denoiser).fisher(at: world.x, time: world.t)
    expectClose(exact.trace(), null.trace(), within: 1e-13)
    expectClose(exact.matvec(world.v), null.matvec(world.v), within: 1e-13)
    let derived = VJPFisher(denoiser).fisher(at: world.x, time: world.t)
    expectClose(derived.matvec(world.v), null.matvec(world.v), within: 1e-13)
    expectClose(
      null.trace(), .full([world.x.batch], 4 / (world.kernel.sigma * world.kernel.sigma)), within: 1e-15)
  }

  @Test("Spec: F1 the mean of the trace is the mean of the squared score", arguments: [0.1, 0.5, 2])
  func information(_ ratio: Double) {
    let world = World(.all[0], ratio: ratio)
    let denoiser = EmpiricalDenoiser(data: world.data, on: world.denoiser.schedule)
    var generator = Generator(seed: 3)
    let chosen = Tensor.randomIntegers([40_000], in: 0..<world.data.batch, using: &generator)
    let noise = Tensor.normal([40_000, 4], using: &generator)
    let x = world.kernel.alpha * world.data.selecting(chosen) + world.kernel.sigma * noise
    let found = denoiser.posterior(x, at: world.t)
    let trace = ExactFisher(denoiser).fisher(at: x, time: world.t).trace()
    let excess = Estimate(samples: (trace - found.score.squared().sum(-1)).expanded(at: 1))
    #expect(excess.value.abs().item <= 4 * excess.standardError!.item)
    // The bound means something: it is a small part of the trace.
    #expect(excess.standardError!.item < 0.02 * trace.mean().abs().item)
  }

  @Test("the trace through the unguessable part of the noise is the trace")
  func residual() {
    let world = World(ratio: 0.3)
    let moments = world.denoiser.posterior(world.x, at: world.t)
    let gain = 1 / (world.ratio * world.ratio)
    let trace = ExactFisher(world.denoiser).fisher(at: world.x, time: world.t).trace()
    expectClose(world.kernel.residual(fisherTrace: trace, dimension: 4), gain * moments.covarianceTrace, within: 1e-11)
    expectClose(
      world.kernel.fisherTrace(residual: gain * moments.covarianceTrace, dimension: 4), trace, within: 1e-11)
  }

  /// The derivative along the world's `v`, per point.
  private func centralDifference(_ world: World, _ function: (Tensor) -> Tensor) -> Tensor {
    let h = 3e-4 * world.kernel.sigma
    return (function(world.x + h * world.v) - function(world.x - h * world.v)) / (2 * h)
  }
}
