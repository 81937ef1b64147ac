import Scorefield
import ScorefieldTestSupport
import Testing

/// What is true of one way to the Fisher.
@Suite struct AccessTests {
  let matrix = Tensor(rows: [[0.3, 0.5, -0.2], [-0.4, 0.1, 0.6], [0.7, -0.1, 0.2]])
  let x = SplitMix(seed: 1).unit([2, 3])
  let u = SplitMix(seed: 2).unit([2, 3])
  let v = SplitMix(seed: 3).unit([2, 3])

  @Test("Spec: F2 forward mode applies F and reverse mode its transpose, of a field that is no gradient")
  func transposed() {
    let denoiser = LinearDenoiser(matrix: matrix, schedule: .variancePreserving)
    let fisher = denoiser.fisher(at: 0.3)
    let (forward, reverse) = (
      JVPFisher(denoiser).fisher(at: x, time: 0.3), VJPFisher(denoiser).fisher(at: x, time: 0.3)
    )
    expectClose(forward.matvec(v), v.matmul(fisher.transposed), within: 1e-13)
    expectClose(reverse.matvec(v), v.matmul(fisher), within: 1e-13)
    expectClose(forward.dense(like: x), fisher.broadcast(to: [2, 3, 3]), within: 1e-13)
    expectClose(reverse.dense(like: x), fisher.transposed.broadcast(to: [2, 3, 3]), within: 1e-13)
    expectClose(
      FiniteDifferenceFisher(denoiser, scheme: .central).fisher(at: x, time: 0.3).matvec(v),
      v.matmul(fisher.transposed), within: 1e-9)
  }

  @Test("Spec: F2 the asymmetry of a field that is no gradient is reported")
  func asymmetry() {
    let denoiser = LinearDenoiser(matrix: matrix, schedule: .variancePreserving)
    let dense = denoiser.fisher(at: 0.3)
    let fisher = JVPFisher(denoiser).fisher(at: x, time: 0.3)
    let expected = (u.dot(v.matmul(dense.transposed)) - v.dot(u.matmul(dense.transposed))).abs()
    #expect(expected.min().item > 0.1)
    expectClose(fisher.asymmetry(u, v), expected, within: 1e-12)

    let index = (dense - dense.transposed).norm().item / (2 * dense.norm().item)
    let found = fisher.asymmetryIndex(like: x, pairs: 20_000, seed: 1)
    #expect((found / index - 1).abs().max().item < 0.03)
    #expect(
      NullFisher(on: .variancePreserving).fisher(at: x, time: 0.3).asymmetryIndex(like: x, pairs: 2, seed: 1).max().item
        < 1e-15)
  }

  @Test(
    "Spec: F8 differences are as near as their documentation says",
    arguments: [
      (FiniteDifferenceFisher.Scheme.forward, ElementType.float64, 2e-6),
      (.backward, .float64, 2e-6), (.central, .float64, 1e-8), (.forward, .float32, 1e-2), (.backward, .float32, 1e-2),
      (.central, .float32, 2e-3),
    ])
  func differences(_ scheme: FiniteDifferenceFisher.Scheme, _ type: ElementType, _ bound: Double) {
    for world in World.points where world.ratio >= 0.2 {
      let exact = ExactFisher(world.denoiser).fisher(at: world.x, time: world.t).matvec(world.v)
      let denoiser = EmpiricalDenoiser(
        data: world.data.to(type), weights: SplitMix(seed: 15).uniform([12]) + 0.1, on: world.denoiser.schedule)
      let fisher = FiniteDifferenceFisher(denoiser, scheme: scheme).fisher(at: world.x.to(type), time: world.t)
      let scale = world.v.norm(-1, keeping: true) / (world.kernel.sigma * world.kernel.sigma)
      let error = ((fisher.matvec(world.v.to(type)).to(.float64) - exact) / scale).norm(-1).max().item
      #expect(error < bound, "\(world)")
    }
  }

  @Test("Spec: F8 a forward difference errs in proportion to its step, a central one to its square")
  func orders() {
    let world = World(ratio: 0.5)
    let exact = ExactFisher(world.denoiser).fisher(at: world.x, time: world.t).matvec(world.v)
    func error(_ scheme: FiniteDifferenceFisher.Scheme, _ step: Double) -> Double {
      let fisher = FiniteDifferenceFisher(world.denoiser, scheme: scheme, relativeStep: step)
      return relativeError(fisher.fisher(at: world.x, time: world.t).matvec(world.v), exact)
    }
    #expect(abs(error(.forward, 0.02) / error(.forward, 0.01) - 2) < 0.1)
    #expect(abs(error(.backward, 0.02) / error(.backward, 0.01) - 2) < 0.1)
    #expect(abs(error(.central, 0.02) / error(.central, 0.01) - 4) < 0.1)
    // One evaluation at a tenth of the noise: a few per cent.
    #expect(error(.forward, 0.1) < 0.05)
  }

  @Test("Spec: F8 over any way a difference is the product with the Fisher's mean on it", arguments: [0.5, 2, 8])
  func secants(_ step: Double) {
    let world = World(ratio: 0.5)
    let sigma = world.kernel.sigma
    let direction = world.v / world.v.norm(-1, keeping: true)
    /// Simpson's rule between two places, in units of `σ`.
    func mean(_ from: Double, _ to: Double) -> Tensor {
      let nodes = 400
      return (0...nodes).map { node in
        let weight = node == 0 || node == nodes ? 1.0 : node % 2 == 1 ? 4 : 2
        let x = world.x + (from + (to - from) * Double(node) / Double(nodes)) * sigma * direction
        return weight / Double(3 * nodes) * ExactFisher(world.denoiser).fisher(at: x, time: world.t).matvec(world.v)
      }.reduce(.zeros(like: world.v), +)
    }
    for (scheme, from, to) in [
      (FiniteDifferenceFisher.Scheme.forward, 0, step), (.backward, -step, 0), (.central, -step, step),
    ] {
      let found = FiniteDifferenceFisher(world.denoiser, scheme: scheme, relativeStep: step)
        .fisher(at: world.x, time: world.t).matvec(world.v)
      expectClose(found, mean(from, to), within: 1e-6, "\(scheme)")
    }
    // Cut at half of the way, for each sample on its own, and never below what suits the type.
    let distances = Tensor((0..<world.x.batch).map { $0 == 0 ? 0.5 * step * sigma : $0 == 1 ? 0 : 100 * step * sigma })
    let cut = FiniteDifferenceFisher(world.denoiser, scheme: .backward, relativeStep: step, longest: distances)
      .fisher(at: world.x, time: world.t).matvec(world.v)
    expectClose(cut[0], mean(-0.5 * step, 0)[0], within: 1e-6)
    expectClose(cut[1], ExactFisher(world.denoiser).fisher(at: world.x, time: world.t).matvec(world.v)[1], within: 1e-4)
    expectClose(cut[2], mean(-step, 0)[2], within: 1e-6)
  }

  @Test("Spec: F8 the step of a difference does not depend on the direction's length, and no direction gives zero")
  func lengths() {
    let world = World(ratio: 0.5)
    let fisher = FiniteDifferenceFisher(world.denoiser, relativeStep: 0.1).fisher(at: world.x, time: world.t)
    for length in [0.001, 1000] {
      expectClose(fisher.matvec(length * world.v), length * fisher.matvec(world.v), within: 1e-10)
    }
    expectClose(fisher.matvec(.zeros(like: world.v)), .zeros(like: world.v), within: 0)
  }

  @Test("Spec: F2 F8 evaluations are as few as the documentation says")
  func evaluations() {
    let world = World(ratio: 0.5)
    let counted = CountingDenoiser(world.denoiser, batch: world.x.batch)
    let block = Tensor.stacked([world.u, world.v, world.x])

    let reverse = VJPFisher(counted).fisher(at: world.x, time: world.t)
    #expect(counted.taken() == 1)
    _ = (reverse.matvec(world.v), reverse.matvecs(block))
    #expect(counted.taken() == 0)

    let forward = JVPFisher(counted).fisher(at: world.x, time: world.t)
    #expect(counted.taken() == 0)
    _ = (forward.matvec(world.v), forward.matvecs(block))
    #expect(counted.taken() == 4)

    let ahead = FiniteDifferenceFisher(counted).fisher(at: world.x, time: world.t)
    #expect(counted.taken() == 1)
    _ = (ahead.matvec(world.v), ahead.matvecs(block))
    #expect(counted.taken() == 4)

    let behind = FiniteDifferenceFisher(counted, scheme: .backward).fisher(at: world.x, time: world.t)
    #expect(counted.taken() == 1)
    _ = (behind.matvec(world.v), behind.matvecs(block))
    #expect(counted.taken() == 4)

    let central = FiniteDifferenceFisher(counted, scheme: .central).fisher(at: world.x, time: world.t)
    #expect(counted.taken() == 0)
    _ = (central.matvec(world.v), central.matvecs(block))
    #expect(counted.taken() == 8)
  }

  @Test(
    "Spec: F8 the Gaussian Fisher is the inverse of the noisy covariance, for many points and for few",
    arguments: [(50, 6), (4, 9), (9, 9), (1, 3)], [0.05, 1, 10])
  func gaussian(_ size: (Int, Int), _ ratio: Double) {
    let world = World(ratio: ratio, points: size.0, dimension: size.1)
    for weights in [nil, SplitMix(seed: 4).uniform([size.0]) + 0.1] {
      let shares = (weights ?? .ones([size.0])).expanded(at: 1)
      let centred = world.data - (shares * world.data).sum(0) / shares.sum()
      let covariance = (shares * centred).transposed.matmul(centred) / shares.sum()
      let (a, s) = (world.kernel.alpha, world.kernel.sigma)
      let exact = ((a * a) * covariance + (s * s) * Tensor.identity(size.1)).inverse()

      let access = GaussianFisher(data: world.data, weights: weights, on: world.denoiser.schedule)
      let fisher = access.fisher(at: world.x, time: world.t)
      expectClose(fisher.matvec(world.v), world.v.matmul(exact), within: 1e-11)
      expectClose(fisher.trace(), exact.trace.broadcast(to: [5]), within: 1e-11)
    }
  }

  @Test("points may have any shape")
  func shapes() {
    let data = SplitMix(seed: 1).symmetric([6, 2, 3])
    let denoiser = EmpiricalDenoiser(data: data, on: .edm)
    let (x, v) = (data[0..<2] + 0.1, SplitMix(seed: 2).unit([2, 2, 3]))
    let exact = ExactFisher(denoiser).fisher(at: x, time: 0.5)
    func check(_ fisher: some FisherMatvec) {
      expectClose(fisher.matvec(v), exact.matvec(v), within: 1e-6)
      expectClose(fisher.diagonal(like: x), exact.dense(like: x).diagonal.reshaped(x.shape), within: 1e-6)
      #expect(fisher.quadraticForm(v).shape == [2])
      #expect(fisher.topEigenpairs(2, like: x).vectors.shape == [2, 2, 2, 3])
    }
    check(VJPFisher(denoiser).fisher(at: x, time: 0.5))
    check(JVPFisher(denoiser).fisher(at: x, time: 0.5))
    check(FiniteDifferenceFisher(denoiser, scheme: .central).fisher(at: x, time: 0.5))
    #expect(Hutchinson(ExactFisher(denoiser), probes: 3, seed: 1).fisher(at: x, time: 0.5).trace().shape == [2])
    #expect(
      HutchPlusPlus(ExactFisher(denoiser), probes: 6, seed: 1, on: .edm).fisher(at: x, time: 0.5).traceSamples().shape
        == [2, 2])
    let gaussian = GaussianFisher(data: data, on: .edm).fisher(at: x, time: 0.5)
    #expect(gaussian.matvec(v).shape == v.shape && gaussian.trace().shape == [2])
  }

  @Test("numbers that make no sense stop the process and are named")
  func messages() async {
    func stderr(_ result: ExitTest.Result?) -> String {
      String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    }
    let step = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = FiniteDifferenceFisher(World(ratio: 1).denoiser, relativeStep: 0)
    }
    #expect(stderr(step).contains("FiniteDifferenceFisher(relativeStep: 0.0): needs a positive step"))
    let probes = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = Hutchinson(NullFisher(on: .edm), probes: 0, seed: 1)
    }
    #expect(stderr(probes).contains("Hutchinson(probes: 0): needs at least one"))
    let few = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = HutchPlusPlus(NullFisher(on: .edm), probes: 2, seed: 1, on: .edm)
    }
    #expect(stderr(few).contains("HutchPlusPlus(probes: 2): needs at least three"))
  }
}
