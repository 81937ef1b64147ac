import Scorefield
import ScorefieldTestSupport
import Testing

/// Traces and norms from random probes.
@Suite struct EstimatorTests {
  static let distributions: [ProbeDistribution] = [.rademacher, .gaussian]

  @Test(
    "Spec: F2 Hutchinson's trace is unbiased, and its standard error is the closed form's", arguments: distributions)
  func hutchinson(_ distribution: ProbeDistribution) {
    let world = World(ratio: 0.5)
    let (x, probes) = (world.x, 20_000)
    let access = Hutchinson(VJPFisher(world.denoiser), probes: probes, seed: 5, distribution: distribution)
    let fisher = access.fisher(at: x, time: world.t)
    let samples = fisher.traceSamples()
    #expect(samples.shape == [probes, x.batch])
    let estimate = Estimate(samples: samples)
    let error = estimate.standardError!

    let dense = ExactFisher(world.denoiser).fisher(at: x, time: world.t).dense(like: x)
    #expect(((estimate.value - dense.trace).abs() .<= 4 * error).all())
    expectClose(fisher.trace(), estimate.value, within: 0)

    let counted = distribution == .rademacher ? dense - dense.diagonal.diagonalMatrix : dense
    let variance = 2 * counted.squared().sum(-1, -2)
    // The sample variance has itself a standard error, from the fourth moment.
    let centred = samples - samples.mean(0)
    let spread = centred.squared().mean(0)
    let doubt = ((centred.squared().squared().mean(0) - spread.squared()) / Double(probes)).sqrt()
    #expect(((error.squared() * Double(probes) - variance).abs() .<= 4 * doubt).all())
  }

  @Test("Spec: F2 normal probes vary more than Rademacher ones")
  func spread() {
    let world = World(ratio: 0.5)
    func error(_ distribution: ProbeDistribution) -> Tensor {
      Hutchinson(ExactFisher(world.denoiser), probes: 2000, seed: 5, distribution: distribution)
        .fisher(at: world.x, time: world.t).traceEstimate().standardError!
    }
    #expect((error(.rademacher) .< 0.95 * error(.gaussian)).all())
  }

  @Test("Spec: F2 a diagonal Fisher needs one Rademacher probe, whose error is unknown")
  func diagonal() {
    let fisher = MatrixFisher(Tensor([1.0, -2, 5]).diagonalMatrix)
    let estimate = Hutchinson(fisher, probes: 1, seed: 1).fisher(at: .zeros([4, 3]), time: 0).traceEstimate()
    expectClose(estimate.value, .full([4], 4), within: 1e-15)
    #expect(estimate.standardError == nil)
  }

  @Test("Spec: F2 probes are the same at every time and differ between seeds and points")
  func fixedProbes() {
    let x = Tensor.zeros([3, 5])
    func scaled(_ t: Double, _ seed: UInt64) -> Tensor {
      (t * t)
        * Hutchinson(NullFisher(on: .edm), probes: 2, seed: seed, distribution: .gaussian)
        .fisher(at: x, time: t).trace()
    }
    expectClose(scaled(0.3, 1), scaled(2, 1), within: 1e-14)
    #expect(relativeError(scaled(0.3, 1), scaled(0.3, 2)) > 0.01)
    #expect(scaled(0.3, 1).standardDeviation().item > 0.01)
  }

  @Test("Spec: F2 Hutch++ is exact where the signal has a rank of at most a third of the products")
  func exactAtLowRank() {
    let world = World(ratio: 0.5, points: 4, dimension: 20)
    let exact = ExactFisher(world.denoiser).fisher(at: world.x, time: world.t)
    let estimate = HutchPlusPlus(ExactFisher(world.denoiser), probes: 9, seed: 1, on: world.denoiser.schedule)
      .fisher(at: world.x, time: world.t).traceEstimate()
    expectClose(estimate.value, exact.trace(), within: 1e-12)
    #expect(estimate.standardError!.max().item < 1e-10 * exact.trace().max().item)
  }

  @Test("Spec: F2 Hutch++ is unbiased, and its standard error is right", arguments: distributions)
  func hutchPlusPlus(_ distribution: ProbeDistribution) {
    let world = World(ratio: 0.5, points: 60, dimension: 12, queries: 1)
    let exact = ExactFisher(world.denoiser).fisher(at: world.x, time: world.t).trace().item
    let dense = MatrixFisher(ExactFisher(world.denoiser).fisher(at: world.x, time: world.t).dense(like: world.x)[0])
    var (errors, claims) = ([Double](), [Double]())
    for seed in 0..<400 {
      let estimate = HutchPlusPlus(
        dense, probes: 12, seed: UInt64(seed), on: world.denoiser.schedule, distribution: distribution
      ).fisher(at: world.x, time: world.t).traceEstimate()
      errors.append(estimate.value.item - exact)
      claims.append(estimate.standardError!.item)
    }
    let mean = Estimate(samples: Tensor(errors, shape: [400, 1]))
    #expect(mean.value.abs().item <= 4 * mean.standardError!.item)
    let (claimed, found) = (Tensor(claims).squared().mean().item, Tensor(errors).squared().mean().item)
    #expect(abs(claimed / found - 1) < 0.25)
  }

  @Test("Spec: F2 Hutch++ errs less than Hutchinson at equal products where few directions carry the trace")
  func better() {
    let dimension = 60
    let (q, _) = SplitMix(seed: 3).unit([dimension, dimension]).qr()
    let signal = Tensor((0..<dimension).map { $0 < 5 ? 0.9 : 0.002 })
    // F = (I − K)/σ² at σ = 2.
    let fisher = MatrixFisher((Tensor.identity(dimension) - (q * signal).matmul(q.transposed)) / 4)
    let (x, exact) = (Tensor.zeros([200, dimension]), fisher.matrix.trace.item)
    func error<A: FisherAccess>(_ access: A) -> Double where A.Operator: FisherTrace {
      let before = fisher.products
      let error = (access.fisher(at: x, time: 2).trace() - exact).squared().mean().item.squareRoot()
      #expect(fisher.products - before == 24)
      return error
    }
    let plain = error(Hutchinson(fisher, probes: 24, seed: 1))
    let sketched = error(HutchPlusPlus(fisher, probes: 24, seed: 1, on: .edm))
    #expect(sketched < 0.05 * plain, "\(sketched) against \(plain)")
  }

  @Test("Spec: F2 probes cost products, and no more", arguments: [3, 10, 31])
  func products(_ probes: Int) {
    let fisher = MatrixFisher(Tensor.identity(7) + 0.1)
    let x = Tensor.zeros([2, 7])
    func count(_ body: () -> Void) -> Int {
      let before = fisher.products
      body()
      return fisher.products - before
    }
    #expect(count { _ = Hutchinson(fisher, probes: probes, seed: 1).fisher(at: x, time: 1).traceEstimate() } == probes)
    #expect(
      count { _ = HutchPlusPlus(fisher, probes: probes, seed: 1, on: .edm).fisher(at: x, time: 1).traceEstimate() }
        == probes)
    #expect(count { _ = FullTrace(fisher).fisher(at: x, time: 1).trace() } == 7)
    #expect(count { _ = fisher.dense(like: x) } == 7)
    #expect(count { _ = fisher.hilbertSchmidtNorm(like: x) } == 7)
    #expect(count { _ = fisher.hilbertSchmidtNorm(like: x, probes: probes, seed: 1) } == probes)
    #expect(count { _ = fisher.asymmetryIndex(like: x, pairs: probes, seed: 1) } == 2 * probes)
    #expect(count { _ = fisher.quadraticForm(x) } == 1)
  }

  @Test("Spec: F1 the Hilbert–Schmidt norm is that of the matrix, exactly and within four standard errors")
  func hilbertSchmidt() {
    let world = World(ratio: 0.5)
    let fisher = ExactFisher(world.denoiser).fisher(at: world.x, time: world.t)
    let dense = fisher.dense(like: world.x).norm(-1, -2)
    expectClose(fisher.hilbertSchmidtNorm(like: world.x), dense, within: 1e-13)
    let estimate = fisher.hilbertSchmidtNorm(like: world.x, probes: 4000, seed: 2)
    #expect(((estimate.value - dense).abs() .<= 4 * estimate.standardError!).all())
    #expect((estimate.standardError! .< 0.02 * dense).all())

    // The error that is claimed is the one that is made.
    let errors = (0..<200).map { seed in
      fisher.hilbertSchmidtNorm(like: world.x, probes: 50, seed: UInt64(seed))
    }
    let found = Tensor.stacked(errors.map { ($0.value - dense).squared() }).mean(0)
    let claimed = Tensor.stacked(errors.map { $0.standardError!.squared() }).mean(0)
    #expect((claimed / found - 1).abs().max().item < 0.4)
    #expect(fisher.hilbertSchmidtNorm(like: world.x, probes: 1, seed: 2).standardError == nil)
  }

  @Test("a mean of samples has their standard error")
  func estimate() {
    let estimate = Estimate(samples: Tensor(rows: [[1, 0], [3, 0], [5, 3]]))
    expectClose(estimate.value, Tensor([3.0, 1]), within: 1e-15)
    expectClose(estimate.standardError!, Tensor([2.0 / 3.0.squareRoot(), 1]), within: 1e-15)
  }
}
