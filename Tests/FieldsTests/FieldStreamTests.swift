import Scorefield
import ScorefieldTensorCore
import ScorefieldTestSupport
import Testing

/// The engine's kernel of the exact field against sums written down, in float64 and by differences.
@Suite struct FieldStreamTests {
  struct World: Sendable, CustomStringConvertible {
    let count, dimension, batch: Int
    var description: String { "\(count) × \(dimension), \(batch) queries" }
  }

  static let worlds = [
    World(count: 700, dimension: 2, batch: 40), World(count: 300, dimension: 8, batch: 3),
    World(count: 1100, dimension: 9, batch: 33), World(count: 900, dimension: 64, batch: 70),
    World(count: 600, dimension: 3072, batch: 5), World(count: 3, dimension: 17, batch: 1),
    World(count: 257, dimension: 100, batch: 17),
  ]
  static let types = [ElementType.float32, .float64]

  /// Points in `[−1, 1]`, queries near some of them, directions, and log weights, all in the type.
  private func make(_ world: World, _ type: ElementType, _ alpha: Double, _ sigma: Double) -> (
    points: Tensor, x: Tensor, v: Tensor, logWeights: Tensor, centre: Tensor
  ) {
    let points = SplitMix(seed: 60).symmetric([world.count, world.dimension]).to(type)
    let chosen = Tensor((0..<world.batch).map { $0 * 31 % world.count })
    let noise = SplitMix(seed: 61).symmetric([world.batch, world.dimension]) * 1.7
    let x = (alpha * points.to(.float64).selecting(chosen) + sigma * noise).to(type)
    let v = SplitMix(seed: 62).symmetric([world.batch, world.dimension]).to(type)
    let logWeights = Tensor(SplitMix(seed: 63).uniform(world.count).map { $0 + 0.1 }).log()
    return (points, x, v, logWeights, points.to(.float64).mean(0).to(.float32).to(.float64))
  }

  /// The sums for one query, about its best point.
  private func expected(
    _ x: Tensor, _ v: Tensor, _ points: Tensor, _ logWeights: Tensor, _ alpha: Double, _ sigma: Double
  )
    -> (logSum: Double, mean: Tensor, score: Tensor, spread: Double, product: Tensor)
  {
    let differences = alpha * points - x
    let logits = logWeights - differences.squared().sum(-1) / (2 * sigma * sigma)
    let largest = logits.max().item
    let weights = (logits - largest).exp()
    let mass = weights.sum().item
    let p = (weights / mass).expanded(at: 0)
    let best = points.selecting(Tensor([logits.doubles.firstIndex(of: largest)!]))
    let about = points - best
    let shift = p.matmul(about)
    let centred = about - shift
    return (
      largest + .log(mass), best + shift, (alpha * best - x + alpha * shift) / (sigma * sigma),
      p.matmul(centred.squared().sum(-1, keeping: true)).item,
      (p * centred.matmul(v.transposed).transposed).matmul(centred)
    )
  }

  private func error(_ found: Tensor, _ expected: Tensor) -> Double {
    ((found.to(.float64) - expected).squared().sum().item / expected.squared().sum().item).squareRoot()
  }

  @Test(
    "Spec: F1 every sum has the digits of its type over all noise levels", arguments: worlds, types)
  func accuracy(_ world: World, _ type: ElementType) {
    let tolerance = type == .float32 ? 1e-5 : 1e-9
    for (alpha, sigma) in [
      (1.0, 80.0), (1, 10), (0.5, 3), (1, 3), (0.7, 1), (1, 0.5), (0.8, 0.1), (1, 0.01), (1, 1e-3), (1, 1e-4),
    ] {
      let (points, x, v, logWeights, centre) = make(world, type, alpha, sigma)
      let stream = FieldStream(at: x, along: v, about: centre, alpha: alpha, sigma: sigma)
      stream.add(points, logWeights: logWeights, from: 0)
      let sums = stream.finish()
      for query in stride(from: 0, to: world.batch, by: 3) {
        let row = query..<(query + 1)
        let truth = expected(
          x[row].to(.float64), v[row].to(.float64), points.to(.float64), logWeights, alpha, sigma)
        let place: Comment = "\(world), α = \(alpha), σ = \(sigma), query \(query)"
        #expect(abs(sums.logSum[row].item - truth.logSum) <= tolerance * Swift.max(1, abs(truth.logSum)), place)
        #expect(error(sums.mean[row], truth.mean) <= tolerance, place)
        #expect(error(sums.score[row], truth.score) <= tolerance, place)
        // Points all around the centre have no reason to cancel, however few have the mass.
        #expect(!sums.lost[row].any(), place)
        // Where one point has all the mass but 1e-20 of it, nothing follows from the rest.
        guard truth.spread > 1e-20 else { continue }
        #expect(abs(sums.spread[row].item / truth.spread - 1) <= tolerance, place)
        #expect(error(sums.product![row], truth.product) <= 10 * tolerance, place)
      }
    }
  }

  @Test(
    "Spec: F1 a cluster far from the centre keeps its digits, whether products or differences tell its points apart",
    arguments: types, [(1.0, 20.0), (0.02, 0.03), (0.3, 1), (1, 80)])
  func clusters(_ type: ElementType, _ sizes: (width: Double, sigma: Double)) {
    let near = sizes.width * SplitMix(seed: 64).symmetric([400, 20])
    let points = Tensor.concatenated([near, near + 2000]).to(type)
    let x = (near[..<6] + sizes.sigma * SplitMix(seed: 65).unit([6, 20])).to(type)
    let field = EmpiricalDenoiser(data: points, on: .edm)
    let found = field.posterior(x, at: sizes.sigma, along: x)
    // Not asked again where second moments cancelled.
    let mean = field.denoise(x, at: sizes.sigma)
    let tolerance = type == .float32 ? 1e-5 : 1e-9
    for query in 0..<6 {
      let row = query..<(query + 1)
      let truth = expected(
        x[row].to(.float64), x[row].to(.float64), points.to(.float64), Tensor.zeros([800]), 1, sizes.sigma)
      #expect(abs(found.covarianceTrace[row].item / truth.spread - 1) <= tolerance)
      #expect(error(found.mean[row], truth.mean) <= tolerance && error(mean[row], truth.mean) <= tolerance)
      #expect(error(found.covarianceProduct![row], truth.product) <= 10 * tolerance)
    }
  }

  @Test("Spec: F1 a tight cluster is resolved though the first points are far off", arguments: [1, 2, 5, 8])
  func tight(_ dimension: Int) {
    let near = 2e-4 * SplitMix(seed: 66).symmetric([200, dimension])
    let points = Tensor.concatenated([SplitMix(seed: 67).symmetric([100, dimension]) + 2000, near])
    let x = near[..<5] + 1e-4 * SplitMix(seed: 68).symmetric([5, dimension])
    let stream = FieldStream(at: x, along: x, alpha: 1, sigma: 2e-4)
    stream.add(points, from: 0)
    let sums = stream.finish()
    for query in 0..<5 {
      let row = query..<(query + 1)
      let truth = expected(x[row], x[row], points, Tensor.zeros([300]), 1, 2e-4)
      #expect(abs(sums.logSum[row].item - truth.logSum) <= 1e-10)
      #expect(error(sums.mean[row], truth.mean) <= 1e-9)
      #expect(abs(sums.spread[row].item / truth.spread - 1) <= 1e-9)
    }
  }

  @Test("Spec: F1 from very far, points are told apart by products", arguments: [2, 20])
  func far(_ dimension: Int) {
    let points = SplitMix(seed: 69).symmetric([500, dimension])
    let (alpha, sigma) = (0.8, 5e3)
    let x = 1e9 * SplitMix(seed: 70).symmetric([4, dimension])
    let stream = FieldStream(at: x, along: x, alpha: alpha, sigma: sigma)
    stream.add(points, from: 0)
    let sums = stream.finish()
    for query in 0..<4 {
      let row = query..<(query + 1)
      // |x|² is the same for all, and all that is large.
      let logits = (alpha * points * x[row] - 0.5 * alpha * alpha * points.squared()).sum(-1) / (sigma * sigma)
      let weights = (logits - logits.max().item).exp()
      let p = (weights / weights.sum().item).expanded(at: 0)
      let mean = p.matmul(points)
      let spread = p.matmul((points - mean).squared().sum(-1, keeping: true)).item
      #expect(error(sums.mean[row], mean) <= 1e-10)
      #expect(abs(sums.spread[row].item / spread - 1) <= 1e-9)
    }
  }

  @Test("Spec: F1 pieces, threads and company do not change a bit", arguments: worlds, types)
  func bits(_ world: World, _ type: ElementType) {
    for (alpha, sigma) in [(1.0, 30.0), (0.6, 1), (1, 0.2), (1, 0.003)] {
      let (points, x, v, logWeights, centre) = make(world, type, alpha, sigma)
      let omitted = Tensor((0..<world.batch).map { $0 % 4 == 0 ? -1 : $0 * 31 % world.count })
      func sums(_ pieces: [Int], _ queries: Range<Int>) -> FieldStream.Sums {
        let stream = FieldStream(
          at: x[queries], along: v[queries], about: centre, alpha: alpha, sigma: sigma, without: omitted[queries])
        var first = 0
        for count in pieces + [world.count] where first < world.count {
          let range = first..<Swift.min(first + count, world.count)
          stream.add(points[range], logWeights: logWeights[range], from: first)
          first = range.upperBound
        }
        return stream.finish()
      }
      let whole = withThreads(1) { sums([], 0..<world.batch) }
      for other in [
        withThreads(2) { sums([], 0..<world.batch) }, withThreads(2) { sums([1, 1, 300, 211], 0..<world.batch) },
        sums([256, 3], 0..<world.batch),
      ] {
        #expect(other.logSum.isIdentical(to: whole.logSum) && other.mean.isIdentical(to: whole.mean))
        #expect(other.score.isIdentical(to: whole.score) && other.spread.isIdentical(to: whole.spread))
        #expect(other.product!.isIdentical(to: whole.product!))
      }
      let last = (world.batch - 1)..<world.batch
      let alone = sums([], last)
      #expect(alone.mean.isIdentical(to: whole.mean[last]) && alone.spread.isIdentical(to: whole.spread[last]))
    }
  }

  @Test("chosen blocks are the field of their rows, and the nearest point of every block is found", arguments: worlds)
  func blocks(_ world: World) {
    let (points, x, _, _, centre) = make(world, .float64, 0.9, 0.4)
    let length = FieldStream.blockLength
    let last = (world.count - 1) / length
    let stream = FieldStream(
      at: x, about: centre, alpha: 0.9, sigma: 0.4, visiting: Tensor([last]), measuring: true)
    stream.add(points, from: 0)
    let found = stream.finish()
    let rows = points[(last * length)...]
    let other = FieldStream(at: x, about: centre, alpha: 0.9, sigma: 0.4)
    other.add(rows, from: last * length)
    let rest = other.finish()
    #expect(found.mean.isIdentical(to: rest.mean) && found.logSum.isIdentical(to: rest.logSum))

    let nearest = found.nearest!.to(.float64)
    #expect(nearest.shape == [world.batch, last + 1])
    for query in 0..<world.batch {
      let least = (0.9 * rows - x[query..<(query + 1)]).squared().sum(-1).min().item
      let size = x[query..<(query + 1)].squared().sum().item + 0.81 * Double(world.dimension)
      #expect(abs(nearest[query..<(query + 1), last...].item - least) <= 1e-6 * size)
    }
    #expect(last == 0 || !nearest[Axis.all, ..<last].isFinite().any())
  }

  @Test("what is recorded or batched is no plain tensor")
  func plain() {
    let x = Tensor.zeros([3, 2])
    #expect(x.isPlain && !x.transposed.isPlain && x.transposed.packed.isPlain)
    _ = gradient(at: x) { x in
      #expect(!x.isPlain && !(x + 1).isPlain)
      return x.sum()
    }
    _ = jvp(at: x, along: x) { x in
      #expect(!x.isPlain && !(2 * x).isPlain)
      return x
    }
    _ = vmap(over: x) { x in
      #expect(!x.isPlain)
      return x
    }
    #expect(x.isPlain)
  }
}
